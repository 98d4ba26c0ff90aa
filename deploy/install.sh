#!/usr/bin/env bash
# Puts Lilong on a Debian or Ubuntu machine as one systemd service. Run it as root; running it again changes nothing.
#
#   deploy/install.sh                     install: /opt/lilong, user lilong, /etc/lilong, the service; the first time with an
#                                         example configuration, which you edit before you start it
#   deploy/install.sh upgrade             new version beside the old one, checked against your configuration, then switched;
#                                         back to the old one by itself when the new one does not come up
#   deploy/install.sh rollback            back to the version before
#   deploy/install.sh credentials         after adding a file to /etc/lilong/credentials: hand it to the service
#   deploy/install.sh uninstall [--purge] take it away; --purge also /etc/lilong and /var/lib/lilong (every record!)
#
#   --wheels DIR    without a network: DIR holds lilong-*.whl and the wheels of requirements.lock (README.md says how to fill it)
#   --python FILE   the Python to use (3.11 or newer; default python3)
#   --root DIR      below DIR instead of /, without user or ownership     --no-systemd   leave systemd alone
set -euo pipefail
umask 022

here=$(cd "$(dirname "$0")" && pwd)
source_dir=$(dirname "$here")
action=install wheels='' root='' systemd=1 purge='' python=python3
while [ $# -gt 0 ]; do
    case $1 in
        install | upgrade | rollback | credentials | uninstall) action=$1 ;;
        --wheels) wheels=$(cd "${2:?--wheels DIR}" && pwd) && shift ;;
        --python) python=${2:?--python FILE} && shift ;;
        --root) mkdir -p "${2:?--root DIR}" && root=$(cd "$2" && pwd) && shift ;;
        --no-systemd) systemd='' ;;
        --purge) purge=1 ;;
        -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 0 ;;
        *) echo "install.sh: unknown word '$1' (see --help)" >&2 && exit 2 ;;
    esac
    shift
done

opt=$root/opt/lilong
etc=$root/etc/lilong
state=$root/var/lib/lilong
unit=$root/etc/systemd/system/lilong.service
dropins=$unit.d
command=$root/usr/local/bin/lilong
[ -n "$root" ] && systemd=''

say() { printf '%s\n' "lilong: $*"; }
fail() { printf '%s\n' "lilong: $*" >&2 && exit 1; }
ctl() { [ -z "$systemd" ] || systemctl "$@"; }
own() { [ -n "$root" ] || chown "$@"; }
lilong_check() { CREDENTIALS_DIRECTORY=$etc/credentials "$1/bin/lilong" check --config "$etc/lilong.yaml"; }

require() {
    [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "run this as root: sudo $0 $action"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "needs Python 3.11 or newer (--python FILE)"
    "$python" -c 'import ensurepip' 2>/dev/null || fail "Python's venv is missing: apt-get install python3-venv"
}

# ---------------------------------------------------------------- parts of an installation

new_release() { # a venv of its own under releases/, its path in $release; nothing that runs is touched
    local pip project links=()
    release=$opt/releases/$(date -u +%Y%m%dT%H%M%SZ)-$$
    mkdir -p "$opt/releases"
    # Cut off half-way, the next run must not take this one for whole.
    trap 'rm -rf "$release"' EXIT
    "$python" -m venv "$release"
    pip=("$release/bin/python" -m pip --disable-pip-version-check --no-input install --quiet)
    project=$source_dir
    if [ -n "$wheels" ]; then
        links=(--no-index --find-links "$wheels")
        project=$(ls "$wheels"/lilong-*.whl 2>/dev/null | sort -V | tail -n 1)
        [ -n "$project" ] || fail "no lilong-*.whl in $wheels"
    fi
    say "installing the locked requirements"
    "${pip[@]}" "${links[@]}" --require-hashes -r "$source_dir/requirements.lock"
    "${pip[@]}" "${links[@]}" --no-deps --no-build-isolation "$project"
    identity >"$release/identity"
}

identity() { # of what would be installed now: the same text means that nothing is new
    if [ -n "$wheels" ]; then
        cat "$wheels"/lilong-*.whl "$source_dir/requirements.lock" | cksum
    else
        (cd "$source_dir" && find gateway simulators devices rules pyproject.toml requirements.lock -type f \
            ! -name '*.pyc' | LC_ALL=C sort | xargs cksum | cksum)
    fi
}

switch_to() { # atomic: a service that starts meanwhile gets the one or the other, whole
    ln -sfn "$(realpath --relative-to="$opt" "$1")" "$opt/venv.new"
    mv -T "$opt/venv.new" "$opt/venv"
}

keep_two_releases() {
    local old
    ls -1d "$opt"/releases/*/ 2>/dev/null | sort | head -n -2 | while read -r old; do
        [ "$(realpath "$old")" = "$(realpath "$opt/venv")" ] || rm -rf "$old"
    done
}

user_and_directories() {
    if [ -z "$root" ]; then
        getent group lilong >/dev/null || groupadd --system lilong
        getent passwd lilong >/dev/null ||
            useradd --system --gid lilong --home-dir /var/lib/lilong --no-create-home --shell /usr/sbin/nologin lilong
    fi
    mkdir -p "$etc/credentials" "$state"
    chmod 0750 "$etc" "$etc/credentials"
    chmod 0700 "$state"
    own root:lilong "$etc" "$etc/credentials"
    own lilong:lilong "$state"
}

example_configuration() {
    if [ -e "$etc/lilong.yaml" ]; then
        say "keeping your $etc/lilong.yaml"
        fresh=
    else
        cp -R "$here/example/." "$etc/"
        fresh=1
    fi
    if [ ! -e "$etc/credentials/link-key" ]; then # signs the links that people press; made here, known nowhere else
        (umask 077 && head -c 32 /dev/urandom | base64 >"$etc/credentials/link-key")
    fi
    chmod -R u=rwX,g=rX,o= "$etc"
    own -R root:lilong "$etc"
}

credentials() { # one LoadCredential= a file, since systemd refuses to start on a line whose file is missing
    local file
    mkdir -p "$dropins"
    {
        echo "# Made by install.sh credentials from the files of /etc/lilong/credentials."
        echo "[Service]"
        for file in "$etc"/credentials/*; do
            [ -f "$file" ] || continue
            chmod 0640 "$file"
            own root:lilong "$file"
            echo "LoadCredential=${file##*/}:/etc/lilong/credentials/${file##*/}"
        done
    } >"$dropins/credentials.conf"
    ctl daemon-reload
}

service_and_command() {
    mkdir -p "$(dirname "$unit")" "$(dirname "$command")"
    install -m 0644 "$here/lilong.service" "$unit"
    install -m 0644 "$here/README.md" "$opt/README.md"
    # As the service's user: a file that root made in the state directory would stop the service.
    cat >"$command" <<'WRAPPER'
#!/bin/sh
# The lilong command with the service's configuration, secrets and user.
export CREDENTIALS_DIRECTORY="${CREDENTIALS_DIRECTORY:-/etc/lilong/credentials}"
if [ "$(id -u)" = 0 ]; then
    exec setpriv --reuid lilong --regid lilong --clear-groups --no-new-privs /opt/lilong/venv/bin/lilong "$@"
fi
exec /opt/lilong/venv/bin/lilong "$@"
WRAPPER
    chmod 0755 "$command"
    credentials
}

# ---------------------------------------------------------------- actions

do_install() {
    require
    user_and_directories
    example_configuration
    if [ "$(cat "$opt/venv/identity" 2>/dev/null)" = "$(identity)" ]; then
        say "this version is installed already"
    elif [ -e "$opt/venv" ]; then
        do_upgrade
        return
    else
        new_release
        switch_to "$release"
        trap - EXIT
    fi
    service_and_command
    ctl enable --quiet lilong
    if [ -n "$fresh" ]; then
        say "installed. Next: edit $etc, put the secrets into $etc/credentials, then"
        say "  $0 credentials && lilong check --config /etc/lilong/lilong.yaml && systemctl start lilong"
    elif lilong_check "$opt/venv" && ctl start lilong; then
        say "installed, and running; see: systemctl status lilong, lilong doctor"
    else
        say "installed, but it does not run: put right what is said above (or by journalctl -u lilong)," >&2
        fail "then: systemctl start lilong"
    fi
}

do_upgrade() {
    require
    [ -e "$opt/venv" ] || fail "nothing to upgrade; run $0 install"
    local before
    before=$(realpath "$opt/venv")
    new_release
    if ! lilong_check "$release"; then
        fail "the new version refuses your configuration (above); the old one stays and runs on"
    fi
    switch_to "$release"
    service_and_command
    if ! ctl restart lilong; then # Type=notify: this waits until it is ready
        switch_to "$before"
        ctl restart lilong || true
        fail "the new version did not come up (journalctl -u lilong); back to the old one"
    fi
    trap - EXIT
    keep_two_releases
    say "upgraded to $("$opt/venv/bin/python" -c 'import gateway; print(gateway.__version__)')"
}

do_rollback() {
    local now before
    now=$(realpath "$opt/venv")
    before=$(ls -1d "$opt"/releases/*/ 2>/dev/null | sed 's#/$##' | sort | grep -v -x -F "$now" | tail -n 1 || true)
    [ -n "$before" ] || fail "there is no version before"
    switch_to "$before"
    ctl restart lilong
    say "back to ${before##*/}"
}

do_uninstall() {
    ctl disable --now --quiet lilong 2>/dev/null || true
    rm -rf "$opt" "$unit" "$dropins" "$command"
    ctl daemon-reload
    if [ -n "$purge" ]; then
        rm -rf "$etc" "$state"
        if [ -z "$root" ] && getent passwd lilong >/dev/null; then userdel lilong; fi
        say "taken away, with configuration and every record"
    else
        say "taken away; $etc and $state are still there (uninstall --purge removes them too)"
    fi
}

case $action in
    install) do_install ;;
    upgrade) do_upgrade ;;
    rollback) do_rollback ;;
    credentials) credentials && say "restart to use them: systemctl restart lilong" ;;
    uninstall) do_uninstall ;;
esac
