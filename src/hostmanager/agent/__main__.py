"""`python -m hostmanager.agent`: run the manager of this host."""

from hostmanager.agent import early_signals

if __name__ == "__main__":
    early_signals.install()
    from hostmanager.agent.main import main

    main()
