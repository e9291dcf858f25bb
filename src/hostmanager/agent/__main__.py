"""`python -m hostmanager.agent`: run the manager of this host."""

from hostmanager.agent.main import main

if __name__ == "__main__":
    main()
