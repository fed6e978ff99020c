// Elements are made by hand, and text goes in as text: numbers, caller IDs and names are whatever somebody sent.

const SVG = "http://www.w3.org/2000/svg";
// What turns a line round, breaks it, or is not seen at all: with it a caller could make a row say what is not so.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** A text as it may be shown: what cannot be seen in it is seen. */
function seen(text) {
  return text.replace(UNSEEN, "\ufffd");
}

/** An element. Properties that begin with "on" are listeners; children are nodes, texts, or nothing. */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same, of SVG. */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : seen(String(value)));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === "string" ? seen(child) : child)));
  return element;
}

/** Change a text only where it is another one: a node that is left alone is not drawn again. */
export function put(node, text) {
  const told = seen(text);
  if (node.textContent !== told) node.textContent = told;
}

/** The same for an attribute; undefined takes it away. */
export function mark(node, name, value) {
  if (value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, seen(value));
}

/** Replace all children. */
export function swap(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter(Boolean).map((child) => (typeof child === "string" ? seen(child) : child)));
}

/** A badge: its icon and its word say the same as its colour. */
export function badge(kind, icon, word) {
  return h("span", { class: `badge ${kind}` }, h("span", { "aria-hidden": "true" }, icon), ` ${word}`);
}
