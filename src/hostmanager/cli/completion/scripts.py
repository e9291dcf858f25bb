"""The scripts with which shells complete the command; see the package."""

SCRIPTS = {
    "bash": """\
_hostmanager() {
    local IFS=$'\\n' current=${COMP_WORDS[COMP_CWORD]} found
    [[ $current == "=" ]] && current=
    found=$(hostmanager completion candidates "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)
    COMPREPLY=()
    if [[ $found == :files ]]; then
        compopt -o default 2>/dev/null || COMPREPLY=($(compgen -f -- "$current"))
    else
        COMPREPLY=($(compgen -W "$found" -- "$current"))
    fi
}
complete -F _hostmanager hostmanager
""",
    "zsh": """\
#compdef hostmanager
_hostmanager() {
    local -a found
    found=(${(f)"$(hostmanager completion candidates "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if [[ $found == :files ]]; then
        _files
    else
        found=("${(@)found//:/\\\\:}")
        found=("${(@)found/$'\\t'/:}")
        _describe hostmanager found
    fi
}
if [ "$funcstack[1]" = "_hostmanager" ]; then
    _hostmanager "$@"
else
    compdef _hostmanager hostmanager
fi
""",
    "fish": """\
function __hostmanager
    set -l found (hostmanager completion candidates (commandline -opc)[2..-1] \\
        (commandline -ct) 2>/dev/null)
    if test "$found" = :files
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c hostmanager -f -a '(__hostmanager)'
""",
}
"""By the name of the shell."""
