"""`python -m hostmanager.agent`: run the manager of this host."""

from hostmanager.agent.daemon import early_signals, pid1

if __name__ == "__main__":
    early_signals.note_signals()
    pid1.leave_process_1()  # before there is much to be kept in memory twice
    from hostmanager.agent.main import main

    main(prog="python -m hostmanager.agent")
