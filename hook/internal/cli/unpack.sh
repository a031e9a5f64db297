else
	# This script contains eca. It is unpacked once, into a directory of this user's alone, and
	# checked before each run.
	cannot() {
		echo "error: $*" >&2
		exit 1
	}
	case $(uname -sm) in
	# PLATFORMS
	*) cannot "this script contains eca for CONTAINED, and this machine is $(uname -sm): bundle it with --platforms for this machine too, or set ECA_BIN to the path of an eca" ;;
	esac
	uid=$(id -u)
	# safe DIR: whether no other user can put a directory of theirs in the place of one in DIR.
	safe() {
		read -r mode _ owner _ <<-DIR || :
			$(LC_ALL=C ls -ldn "$1/." 2>/dev/null)
		DIR
		case $mode:$owner in
		d???????w[!tT]*) false ;;
		*:0 | *:"$uid") ;;
		*) false ;;
		esac
	}
	cache=${ECA_CACHE:-}
	if [ -n "$cache" ]; then
		[ -d "$cache" ] || (umask 077 && mkdir -p "$cache") 2>/dev/null || :
	else
		case ${XDG_CACHE_HOME:-} in
		/*) cache=$XDG_CACHE_HOME ;;
		*) cache=${HOME:+$HOME/.cache} ;;
		esac
		# In a container, the home directory is often none, or read-only.
		if [ -z "$cache" ] || ! { [ -d "$cache" ] || (umask 077 && mkdir -p "$cache") 2>/dev/null; } || [ ! -w "$cache" ] || ! safe "$cache"; then
			cache=${TMPDIR:-/tmp}
		fi
	fi
	dir=$cache/eca-$uid
	eca=$dir/$digest/eca
	[ -d "$dir" ] || (umask 077 && mkdir "$dir") 2>/dev/null || :
	[ ! -d "$dir" ] || safe "$cache" || cannot "eca is not unpacked into $cache, where another user could replace it ($mode, owner $owner); set ECA_CACHE to another directory"
	dir_mode='' dir_owner='' mode='' owner='' bytes=''
	{
		read -r dir_mode _ dir_owner _ && read -r mode _ owner _ bytes _
	} <<-FILES || :
		$(LC_ALL=C ls -ldn "$dir" "$eca" 2>/dev/null)
	FILES
	case $dir_mode:$dir_owner in
	drwx--[-S]---*:"$uid") ;;
	:) cannot "eca cannot be unpacked: the directory $dir cannot be made; set ECA_CACHE to a directory that can be written" ;;
	*) cannot "eca is not unpacked into $dir, which is not a directory of this user's alone ($dir_mode, owner $dir_owner, want drwx------, owner $uid); remove it, or set ECA_CACHE to another directory" ;;
	esac
	# digest_of FILE: its SHA-256, by a tool of the machine: what is checked is not run for it. Without such
	# a tool, an eca prints its own.
	digest_of() {
		if command -v sha256sum >/dev/null 2>&1; then
			sha256sum <"$1" 2>/dev/null
		elif command -v shasum >/dev/null 2>&1; then
			shasum -a 256 <"$1" 2>/dev/null
		elif command -v openssl >/dev/null 2>&1; then
			openssl dgst -sha256 -r <"$1" 2>/dev/null
		else
			itself "$1"
		fi | cut -c 1-64
	}
	# itself FILE: the digest that an eca prints of itself.
	itself() { "$1" version --digest </dev/null 2>/dev/null || :; }
	case $mode:$owner:$bytes in
	-rwx------*:"$uid:$size") [ "$(digest_of "$eca")" = "$digest" ] || bytes='' ;;
	*) bytes='' ;;
	esac
	if [ -z "$bytes" ]; then
		# Beside its place and then moved there, so that another run sees all of it or nothing.
		new=$(mktemp -d "$dir/new.XXXXXX") || cannot "eca cannot be unpacked into $dir; set ECA_CACHE to a directory that can be written"
		trap 'rm -rf "$new"' EXIT
		trap 'exit 1' HUP INT TERM
		command -v gzip >/dev/null 2>&1 || cannot "the eca in this script cannot be unpacked: gzip is not on this machine; install it, or point ECA_BIN to an eca"
		decode() {
			if [ "$(echo ZWNh | base64 -d 2>/dev/null)" = eca ]; then base64 -d; else openssl base64 -d -A; fi
		}
		sed -n "s/^#$part //p" "$0" 2>/dev/null | tr -d '\n' | decode 2>/dev/null | gzip -dc >"$new/eca" 2>/dev/null || :
		chmod 700 "$new/eca" 2>/dev/null || :
		case $(digest_of "$new/eca") in
		"$digest" | '') ;;
		*) cannot "the eca in this script cannot be unpacked into $dir: its digest is not the one that was bundled; bundle it again, and see whether the disk is full" ;;
		esac
		[ "$(itself "$new/eca")" = "$digest" ] || cannot "the eca in this script was unpacked into $dir and does not run there, as where a disk is full or mounted noexec; set ECA_CACHE to another directory"
		mkdir -p "$dir/$digest" && mv -f "$new/eca" "$eca" || cannot "eca cannot be unpacked into $dir/$digest; remove that, or set ECA_CACHE to another directory"
		rm -rf "$new"
		trap - EXIT HUP INT TERM
	fi
