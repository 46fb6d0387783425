# SPDX-License-Identifier: MIT
# Completion of gpudom's programs for bash: their own --help says which options there are.
_gpudom()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} help

	COMPREPLY=()
	case $previous in
	--config | --worker | --render-node | --png-dir | --socket-path | --peer)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--log-level)
		mapfile -t COMPREPLY < <(compgen -W 'error warning info debug' -- "$word")
		return
		;;
	esac
	if [[ $1 == *gpudomctl && $COMP_CWORD -eq 1 && $word != -* ]]; then
		help=$("$1" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')
	elif [[ $1 == *gpudomctl && $COMP_CWORD -gt 1 ]]; then
		help=$("$1" "${COMP_WORDS[1]}" --help 2>/dev/null | grep -o -e '--[a-z][a-z-]*=\?')
	else
		help=$("$1" --help 2>/dev/null | grep -o -e '--[a-z][a-z-]*=\?')
	fi
	mapfile -t COMPREPLY < <(compgen -W "$help" -- "$word")
	[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
}
complete -o default -F _gpudom gpudomd gpudom-worker gpudomctl gpudom-keeper gpudom-bench
