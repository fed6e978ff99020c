"""The documentation site: ``make docs`` builds it into ``build/site``.

``pages`` has what stands nowhere else. The Markdown beside the code is gathered (``gather.py``), and the reference is
made of the code itself (``reference.py`` and its parts), each time the site is built. No part of the wheel.
"""
