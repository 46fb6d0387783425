# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Helpers shared by the system tests and demos; sourced by their scripts (POSIX sh).
#
#     . "$(dirname -- "$0")/../lib.sh"
#
# Everything that is downloaded or built lives in $cache; removing that folder starts from
# scratch. Only need_packages asks for root (or sudo); the rest works as any user.
set -eu

# Scripts that call each other count from the first one's start.
started=${GPUDOM_STARTED:-$(date +%s)}
export GPUDOM_STARTED="$started"
cache=${GPUDOM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gpudom}
mkdir -p "$cache"

# say TEXT...: one line of progress, stamped with the seconds since the script began.
say() { printf '[%4d s] %s\n' $(($(date +%s) - started)) "$*" >&2; }
die() {
	say "error: $*"
	exit 1
}

# as_root COMMAND...
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		command -v sudo >/dev/null || die "need root for: $*  (no sudo here; run it as root)"
		sudo "$@"
	fi
}

# need_packages PACKAGE...: install those that this Debian machine lacks.
need_packages() {
	missing=
	for p; do
		s=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) || s=
		[ "$s" = installed ] || missing="$missing $p"
	done
	[ -n "$missing" ] || return 0
	say "installing$missing"
	# shellcheck disable=SC2086 # a list of names
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $missing >"$cache/install.log" 2>&1 || {
		as_root apt-get update -qq >>"$cache/install.log" 2>&1
		as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $missing >>"$cache/install.log" 2>&1
	} || {
		cat "$cache/install.log" >&2
		die "cannot install$missing"
	}
}

# mirror: the Debian mirror that this machine already uses, from its apt sources.
mirror() {
	cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
		awk '$1 == "URIs:" { print $2 }
		     $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) print $i }' |
		grep '/debian/*$' | grep -v security | head -n 1
}

# apt_conf SUITE ARCH: a private apt state (lists, status, archives) for another suite or
# architecture; ARCH "source" is for source packages. Prints the path to put into APT_CONFIG.
# The lists are refreshed at most once a day.
apt_conf() {
	a=$cache/apt-$1-$2
	host=$(dpkg --print-architecture)
	arch=$2 type=deb
	[ "$arch" != source ] || arch=$host type=deb-src
	if [ ! -s "$a/apt.conf" ]; then
		m=$(mirror)
		[ -n "$m" ] || die "no Debian mirror in this machine's apt sources"
		mkdir -p "$a/lists/partial" "$a/cache/archives/partial"
		: >"$a/status"
		echo "$type $m $1 main" >"$a/sources.list"
		cat >"$a/apt.conf" <<-EOT
			APT::Architecture "$arch";
			APT::Architectures { "$arch"; };
			APT::Install-Recommends "false";
			APT::Sandbox::User "$(id -un)";
			Acquire::Languages "none";
			Acquire::Retries "3";
			Acquire::Check-Valid-Until "false";
			Dir::Etc::sourcelist "$a/sources.list";
			Dir::Etc::sourceparts "/dev/null";
			Dir::Etc::parts "/dev/null";
			Dir::Etc::preferences "/dev/null";
			Dir::Etc::preferencesparts "/dev/null";
			Dir::State::status "$a/status";
			Dir::State::lists "$a/lists";
			Dir::Cache "$a/cache";
		EOT
	fi
	if [ -z "$(find "$a/stamp" -mtime -1 2>/dev/null)" ]; then
		say "fetching the package lists of $1 ($2)"
		if flock "$a/sources.list" env APT_CONFIG="$a/apt.conf" apt-get -qq update >&2; then
			: >"$a/stamp"
		elif [ -e "$a/stamp" ]; then
			say "cannot refresh them; going on with yesterday's"
		else
			die "apt-get update failed for $1 ($2)"
		fi
	fi
	echo "$a/apt.conf"
}

# fetch_debs SUITE ARCH PACKAGE...: download the packages and all that they depend on.
# Prints the path of each deb.
fetch_debs() {
	c=$(apt_conf "$1" "$2")
	debs=${c%/*}/cache/archives
	shift 2
	flock "$c" env APT_CONFIG="$c" apt-get -y -qq -d install "$@" >/dev/null ||
		die "cannot download $*"
	APT_CONFIG=$c apt-get -s -qq install "$@" | awk -v dir="$debs" '$1 == "Inst" {
		v = $3; sub(/^\(/, "", v); gsub(/:/, "%3a", v)
		a = $NF; if (a == "[]") a = $(NF - 1); gsub(/[][()]/, "", a)
		print dir "/" $2 "_" v "_" a ".deb" }'
}

# fetch_deb SUITE ARCH PACKAGE: download one package without its dependencies. Prints its path.
fetch_deb() {
	c=$(apt_conf "$1" "$2")
	debs=${c%/*}/cache/archives
	f=$(APT_CONFIG=$c apt-get -qq --print-uris download "$3" | awk '{ print $2 }')
	[ -n "$f" ] || die "no package $3 in $1 ($2)"
	[ -e "$debs/$f" ] || (cd "$debs/partial" &&
		flock "$c" env APT_CONFIG="$c" apt-get -qq download "$3" >&2 && mv "$f" ..) ||
		die "cannot download $3"
	echo "$debs/$f"
}

# unpack_debs DIR DEB...: unpack into DIR, which gets the merged-/usr links. Maintainer scripts
# do not run, nothing of the packages is executed, and it works as any user.
unpack_debs() {
	d=$1
	shift
	mkdir -p "$d/usr"
	for l in bin sbin lib lib64; do
		mkdir -p "$d/usr/$l"
		[ -e "$d/$l" ] || ln -s "usr/$l" "$d/$l"
	done
	# shellcheck disable=SC2016 # expanded by the inner shell
	printf '%s\n' "$@" | D=$d xargs -P "$(nproc)" -n 1 sh -c '
		dpkg-deb --fsys-tarfile "$0" | tar -x -C "$D" --no-same-owner --keep-directory-symlink \
			--exclude="./usr/share/doc/*" --exclude="./usr/share/man/*" \
			--exclude="./usr/share/locale/*" --exclude="./usr/share/info/*"' ||
		die "cannot unpack packages into $d"
}

# stamp_of WORD|FILE...: a short hash of the words and of the files' contents, to see whether
# something cached is still what these would make.
stamp_of() {
	for w; do
		if [ -f "$w" ]; then cat "$w"; else printf '%s\n' "$w"; fi
	done | sha256sum | cut -c 1-16
}
