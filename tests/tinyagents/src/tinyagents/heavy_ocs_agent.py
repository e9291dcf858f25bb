"""A real OCS agent with the imports of one that computes: numpy and much of scipy."""

import numpy as np
import scipy.fft
import scipy.interpolate
import scipy.optimize
import scipy.signal

from tinyagents import ocs_agent

COMPUTES = (np, scipy.fft, scipy.interpolate, scipy.optimize, scipy.signal)


def main(args: list[str] | None = None) -> None:
    """Start the agent and run until told to stop."""
    ocs_agent.main(args)


if __name__ == "__main__":
    main()
