"""python -m edge.agent: the same as solarperform-agent."""

import sys

from edge.agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
