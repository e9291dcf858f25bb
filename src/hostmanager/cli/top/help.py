"""What `?` shows."""

KEYS = "u up  d down  r restart  A host  Enter details  h history  / filter  ? help  q"

HELP = """\
Finding
  up, down, j, k   select a line;  PgUp, PgDn, Home, End
  /                filter as you type: parts of names, host, class, state;
                   more words narrow it down, * and ? are wildcards;
                   Enter keeps it, Esc shows all again
  w                only what is wrong, or everything
  s                another order: wrong first, as in the site config,
                   by name, latest started first, most restarts first
Looking closer
  Enter            details, and what it prints, live;  Esc or q goes back
  h                what happened to it, and who asked for what
  m                what was asked for here, and what came of it
Doing something; with a host selected, it is about all of its agents
  u                start the selected agent
  d, r             stop it, restart it (after a question)
  A                start, stop or restart the whole host (after a question)
q, Ctrl-C          quit

In front of each line
  !  wrong: not as it is wanted, or a host that cannot be asked;
     the reason stands at the end of the line, and below the list in full
  ~  to look at: as it is wanted, but something is not as it should be
  ?  unknown: its manager does not answer
  >  selected

The state is followed by what is wanted, if that differs:
  start_at>up      it died, and is started again soon
  wait_start>up    it is being launched
  wait_dead>down   it was told to stop, and something of it is still alive
  -                no manager looks after it
A line with "==" is a host and its manager. One that answers late is marked
with how old it is what is shown; of one that does not answer, it is shown
how its agents were when it did.

Quitting ends nothing on the hosts. Agents that are being restarted at that
moment are started again.
"""
