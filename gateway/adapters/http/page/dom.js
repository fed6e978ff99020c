// Elements are made by hand, and text goes in as text: numbers, caller IDs and names are whatever somebody sent.

const SVG = "http://www.w3.org/2000/svg";

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
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Change a text only where it is another one: a node that is left alone is not drawn again. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The same for an attribute; undefined takes it away. */
export function mark(node, name, value) {
  if (value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Replace all children. */
export function swap(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter(Boolean));
}

/** A badge: its icon and its word say the same as its colour. */
export function badge(kind, icon, word) {
  return h("span", { class: `badge ${kind}` }, h("span", { "aria-hidden": "true" }, icon), ` ${word}`);
}
