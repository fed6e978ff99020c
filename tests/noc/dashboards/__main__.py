"""Write config/grafana/dashboards anew: ``make dashboards``."""

from . import DASHBOARDS
from .grafana import FOLDER, text_of

for name, dashboard in DASHBOARDS.items():
    (FOLDER / f"{name}.json").write_text(text_of(dashboard), "utf-8")
