"""`python -m saga_fn.prometheus dashboard` prints the dashboard for Grafana, `alerts` the alert rules for Prometheus."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from saga_fn.prometheus.shipped import alert_rules, dashboard

_PRINTED: Final = {"dashboard": dashboard, "alerts": alert_rules}


def main() -> None:
    """Print what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m saga_fn.prometheus", description=__doc__)
    parser.add_argument("what", choices=list(_PRINTED), help="what to print")
    what: str = parser.parse_args().what
    sys.stdout.write(_PRINTED[what]())


if __name__ == "__main__":
    main()
