#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: mutate-flask.sh DIR
# After build-flask.sh: builds a FLASK policy for each permission, and each type transition, that
# configs/flask gives (gpudom_serve_foreign's too), without it. Results: DIR/1.bin, ... and DIR/list, "N RULE" a line. 10 seconds.
. "$(dirname -- "$0")/env.sh"

out=$1 src=$tb/xen-src/tools/flask/policy-gpudom-foreign
conf=$src/build/policy.conf
[ -s "$conf" ] || die "no $conf: run build-flask.sh first"
rm -rf "$out"
mkdir -p "$out"
# m4 says of each line which file it comes from.
perl -e '
	my ($conf, $out) = @ARGV;
	my ($before, $ours, $after, $file) = ("", "", "", "");
	open(my $in, "<", $conf) or die "$conf: $!\n";
	while (<$in>) {
		if (/^#line \d+ "(.*)"/) { $file = $1; next; }
		s/#.*//;
		if ($file =~ /gpudom\.te$/) { $ours .= $_ }
		elsif ($ours eq "") { $before .= $_ }
		else { $after .= $_ }
	}
	my ($n, %seen) = (0);
	sub mutant {
		my ($rule, $text) = @_;
		die "$rule is there twice\n" if $seen{$rule}++;
		$n++;
		open(my $f, ">", "$out/$n.conf") or die;
		print $f $before, $text, $after;
		print "$n $rule\n";
	}
	while ($ours =~ /\b(allow|type_transition)\s+([^;]*?)\s*;/g) {
		my ($verb, $rule) = ($1, $2);
		my ($head, $tail) = (substr($ours, 0, $-[0]), substr($ours, $+[0]));
		$rule =~ s/\s+/ /g;
		if ($verb eq "allow" and $rule =~ /^(.*\S) ?\{ ?(.*?) ?\}$/) {
			my ($subject, @all) = ($1, split(/ /, $2));
			for my $p (@all) {
				my $rest = join(" ", grep { $_ ne $p } @all);
				mutant("allow $subject $p", "${head}allow $subject { $rest };$tail");
			}
		} else {
			mutant("$verb $rule", $head . $tail);
		}
	}
	' "$conf" "$out" >"$out/list" || die "cannot take the policy apart"
version=$(sed -n 's/.* -c \([0-9]*\) .*/\1/p' "$src/log" | head -n 1)
find "$out" -name '*.conf' | xargs -P "$jobs" -I '{}' sh -c '
	checkpolicy -t Xen -c '"${version:-30}"' "$1" -o "${1%.conf}.bin" >"$1.log" 2>&1 ||
		{ cat "$1.log" >&2; exit 255; }
	rm -f "$1" "$1.log"' sh '{}' || die "a policy does not compile"
say "FLASK: $(wc -l <"$out/list") policies, each without one permission"
