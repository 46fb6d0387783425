# SPDX-License-Identifier: MIT
# Completion of gpudom's programs for bash: their own --help says which options there are.
# gpudomd knows the guests. Of their names, those that no shell finds anything special in.
_gpudom_guests()
{
	"$1" status --names 2>/dev/null | grep -x -e '[A-Za-z0-9._-]*'
}

_gpudom()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} help

	COMPREPLY=()
	case $previous in
	--config | --worker | --render-node | --png-dir | --socket-path | --peer | --control | --output | --socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--backend)
		mapfile -t COMPREPLY < <(compgen -W 'auto kms wayland memory' -- "$word")
		return
		;;
	--log-level)
		mapfile -t COMPREPLY < <(compgen -W 'error warning info debug' -- "$word")
		return
		;;
	--sort)
		mapfile -t COMPREPLY < <(
			compgen -W 'guest frames commands bytes gpu cpu memory' -- "$word")
		return
		;;
	esac
	if [[ $1 == *gpudomctl && $COMP_CWORD -eq 1 && $word != -* ]]; then
		help=$("$1" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')
	elif [[ $1 == *gpudomctl && $COMP_CWORD -gt 1 && $word != -* ]]; then
		# Where there is no such guest, files come by themselves.
		case ${COMP_WORDS[1]} in
		log-level)
			[[ $COMP_CWORD -gt 2 ]] || help='error warning info debug'
			[[ $COMP_CWORD -eq 2 ]] || help=$(_gpudom_guests "$1")
			;;
		status | top | screenshot | output | focus | trace | reset | block | unblock)
			help=$(_gpudom_guests "$1")
			[[ ${COMP_WORDS[1]} != trace || $COMP_CWORD -gt 2 ]] || help+=' on save off'
			;;
		*) return ;;
		esac
	elif [[ $1 == *gpudomctl && $COMP_CWORD -gt 1 ]]; then
		help=$("$1" "${COMP_WORDS[1]}" --help 2>/dev/null | grep -o -e '--[a-z][a-z-]*=\?')
	else
		help=$("$1" --help 2>/dev/null | grep -o -e '--[a-z][a-z-]*=\?')
	fi
	mapfile -t COMPREPLY < <(compgen -W "$help" -- "$word")
	[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
}
complete -o default -F _gpudom gpudomd gpudom-worker gpudomctl gpudom-keeper gpudom-bench gpudom-seat
