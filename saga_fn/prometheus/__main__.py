"""`python -m saga_fn.prometheus dashboard` prints the dashboard for Grafana, `alerts` the alert rules for Prometheus."""

from __future__ import annotations

import argparse
import sys

from saga_fn.prometheus.shipped import alert_rules, dashboard

_PRINTED = {"dashboard": dashboard, "alerts": alert_rules}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m saga_fn.prometheus", description=__doc__)
    parser.add_argument("what", choices=list(_PRINTED), help="what to print")
    what: str = parser.parse_args().what
    sys.stdout.write(_PRINTED[what]())
