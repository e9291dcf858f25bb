"""What `?` shows."""

KEYS = "u up d down r restart  A host  Enter details  h history  / filter  ? help  q quit"

HELP = """\
Finding
  up, down, j, k          select a line;  PgUp, PgDn, Home, End
  /                       filter as you type: parts of names, host, class, state;
                          several words narrow it down, * and ? are wildcards;
                          Enter keeps it, Esc shows all again
  w                       only what is wrong, or everything
  s                       another order: wrong first, as in the site config, by name,
                          latest started first, most restarts first
Looking closer
  Enter                   details, and what it prints, live;  Esc or q goes back
  h                       what happened to it, and who asked for what
  m                       what was asked for here, and what came of it
Doing something; with a host selected, it is about all of its agents
  u                       start the selected agent
  d, r                    stop it, restart it (after a question)
  A                       start, stop or restart the whole host (after a question)
q                         quit; so does Ctrl-C

In front of each line
  !  wrong: not as it is wanted, or a host that cannot be asked; the reason stands below
  ~  to look at: as it is wanted, but something is not as it should be
  ?  unknown: its manager does not answer
  >  selected

The state is followed by what is wanted, if that differs: start_at>up waits to be started
again, wait_start>up is being launched, wait_dead>down was told to stop and is not gone yet,
"-" is looked after by nobody. "==" is a host with its manager.
A host that answers late is marked with how old what is shown is; one that does not answer
is shown with how its agents were when it did.
Quitting ends nothing on the hosts. Agents that are just being restarted are started again.
"""
