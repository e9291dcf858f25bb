"""How Textual lays the view out: no borders, no margins, as a terminal of 80 by 24 needs it."""

CSS = """
Screen { background: ansi_default; color: ansi_default; }
.bar { height: 1; width: 100%; }
#list { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; background: ansi_default; }
#why { height: 2; width: 100%; }
#news { height: auto; max-height: 2; width: 100%; display: none; }
#filter { display: none; height: 1; width: 100%; }
#keys { height: 1; width: 100%; }
#above { height: auto; max-height: 50%; scrollbar-size: 0 0; }
#facts { height: auto; width: 100%; }
#rule { height: 1; width: 100%; }
#text { height: 1fr; width: 100%; scrollbar-size-vertical: 1; background: ansi_default; }
Confirm, WholeHost { align: center middle; background: transparent; }
.dialog { width: auto; max-width: 76; height: auto; border: ascii ansi_yellow; padding: 0 1; }
.dialog Static { width: auto; max-width: 72; height: auto; }
"""
