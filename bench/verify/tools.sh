# shellcheck shell=bash
# What bench/verify.sh needs besides Rust: Debian's packages for wrk and nginx, and the peers. `root`, the tree,
# and `fail` are those of that script.
# shellcheck disable=SC2154

readonly nginx_modules=/usr/lib/nginx/modules

# install_tools [WITH_PEERS]: those of the peers too if the argument is not empty.
install_tools() {
    local with_peers=${1:-} missing=()
    needs curl || missing+=(curl ca-certificates)
    needs python3 || missing+=(python3)
    needs taskset || missing+=(util-linux)
    needs wrk || missing+=(wrk)
    PATH=$PATH:/usr/sbin needs nginx || missing+=(nginx)
    if [[ -n $with_peers ]]; then
        needs node || missing+=(nodejs)
        needs npm || missing+=(npm)
        [[ -e $nginx_modules/ngx_http_lua_module.so ]] || missing+=(libnginx-mod-http-lua)
        python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    fi
    install_packages "${missing[@]}"
    (($(nproc --all) > 1)) || fail "server and load need a core each"
    if [[ -n $with_peers ]]; then
        install_node_peers
        install_python_peers
    fi
}

install_packages() {
    [[ $# -gt 0 ]] || return 0
    needs apt-get || fail "install these, or what your system calls them: $*"
    local as_root=()
    if [[ $EUID -ne 0 ]]; then
        needs sudo || fail "as root: apt-get install $*"
        as_root=(sudo --non-interactive)
    fi
    echo "Installing $*"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "$@" >/dev/null
    if [[ " $* " == *" nginx "* ]] && needs systemctl; then
        # This script starts its own. The system's, which comes with the package, serves nobody.
        "${as_root[@]}" systemctl disable --quiet --now nginx || true
    fi
}

# Both stay in `target` for the next run, for as long as the versions are the same.
install_node_peers() {
    local from=$root/bench/verify/peers to=$root/target/bench/node
    if ! cmp -s "$from/package-lock.json" "$to/installed"; then
        echo "Installing fastify and better-auth"
        rm -rf "$to"
        mkdir -p "$to"
        cp "$from/package.json" "$from/package-lock.json" "$to"
        npm --prefix "$to" ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
        cp "$from/package-lock.json" "$to/installed"
    fi
    # Modules are looked for from where a program is.
    cp "$from"/*.js "$to"
}

install_python_peers() {
    local from=$root/bench/verify/peers/requirements.txt to=$root/target/bench/python
    if ! cmp -s "$from" "$to/installed"; then
        echo "Installing djangorestframework-api-key and gunicorn"
        rm -rf "$to"
        python3 -m venv "$to"
        "$to/bin/python" -m pip install --quiet --disable-pip-version-check -r "$from"
        cp "$from" "$to/installed"
    fi
}

needs() {
    command -v "$1" >/dev/null
}
