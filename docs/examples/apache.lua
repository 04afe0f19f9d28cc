-- Asks Sealgate about each request, for apache.conf beside this file; docs/proxies.md says more.

local socket = require "socket"

local host, port = "127.0.0.1", 8080

-- What Sealgate is shown of the client's headers. The third is what sessions.header names.
local credentials = { "Authorization", "X-API-Key", "x-gomaluum-key" }

-- What the application is told, instead of anything that the client wrote. All have to be answered.
local identity = {
    "X-Auth-Kind", "X-Auth-Key-Id", "X-Auth-Subject", "X-Auth-Permissions", "X-Auth-Environment",
}

-- What takes the place of the client's if it is answered, which it is where some rule adds a cookie:
-- the client's cookies and that one, or `-` for none.
local optional = { "Cookie" }

-- What the client is told of a refusal, besides RateLimit and its like.
local told = { ["www-authenticate"] = true, ["retry-after"] = true, ["x-request-id"] = true }

-- Seconds in which each part of an answer must come.
local patience = 5

-- The connection to Sealgate, which this thread keeps.
local connection

local function question(r, path)
    local lines = {
        "GET /api/auth/verify HTTP/1.1",
        "Host: " .. host .. ":" .. port,
        "X-Original-Method: " .. r.method,
        "X-Original-URI: " .. path,
        -- With server.trusted_proxies = ["127.0.0.1"]: for allow-lists and the audit log.
        "X-Forwarded-For: " .. r.useragent_ip,
    }
    for _, name in ipairs({ "User-Agent", "Cookie", table.unpack(credentials) }) do
        local value = r.headers_in[name]
        if value then
            table.insert(lines, name .. ": " .. value)
        end
    end
    return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- The status and the headers of an answer, names in lower case, values in lists. Third,
-- in their place, why there are none.
local function read_answer()
    local line, problem = connection:receive("*l")
    local status = line and tonumber(line:match("^HTTP/1%.1 (%d%d%d)"))
    local headers = {}
    while status do
        line, problem = connection:receive("*l")
        if line == "" then
            return status, headers
        end
        local name, value = (line or ""):match("^([^:]+):%s*(.-)%s*$")
        if not name then
            break
        end
        name = name:lower()
        headers[name] = headers[name] or {}
        table.insert(headers[name], value)
    end
    return nil, nil, problem
end

local function disconnect()
    if connection then
        connection:close()
        connection = nil
    end
end

local function connect()
    local made = socket.tcp()
    made:settimeout(patience)
    if made:connect(host, port) then
        made:setoption("tcp-nodelay", true)
        connection = made
    end
end

-- Sealgate's answers have no body. What has one is not read, so nothing can come after it.
local function can_be_kept(status, headers)
    return status and headers["connection"] == nil and (headers["content-length"] or {})[1] == "0"
end

local function say(text)
    if not connection then
        return nil, nil, "not connected"
    end
    local sent, problem = connection:send(text)
    if not sent then
        return nil, nil, problem
    end
    return read_answer()
end

local function exchange(text)
    local kept = connection ~= nil
    if not kept then
        connect()
    end
    local status, headers, problem = say(text)
    if not can_be_kept(status, headers) then
        disconnect()
    end
    if kept and problem == "closed" then
        -- That may have been some time ago. On a new connection it is an answer.
        return exchange(text)
    end
    return status, headers
end

local function refuse(r, status, headers)
    for name, values in pairs(headers) do
        if told[name] or name:find("^ratelimit") then
            r.err_headers_out[name] = table.concat(values, ", ")
        end
    end
    return status
end

-- Many application servers cannot tell X_Auth_Kind from X-Auth-Kind. Names that are not made of
-- letters, digits and hyphens go no further. Connection names headers that the next server is to
-- ignore. None of ours is for the client to name.
local function clean(r)
    for name in pairs(r:headers_in_table()) do
        if name:find("[^%w-]") then
            r.headers_in[name] = nil
        end
    end
    local wishes = (r.headers_in["Connection"] or ""):lower()
    r.headers_in["Connection"] = wishes:find("close", 1, true) and "close" or nil
end

local function check(r)
    -- Where the client wrote http://host/path, httpd would pass that on. What has no path cannot be
    -- checked.
    local path = r.unparsed_uri
    if path:sub(1, 1) ~= "/" then
        return 400
    end
    local status, headers = exchange(question(r, path))
    if status ~= 200 then
        local refusals = { [400] = true, [401] = true, [403] = true, [429] = true }
        return refuse(r, refusals[status] and status or 503, headers or {})
    end
    clean(r)
    for _, name in ipairs(identity) do
        r.headers_in[name] = headers[name:lower()][1]
    end
    for _, name in ipairs(optional) do
        local value = (headers[name:lower()] or {})[1]
        if value then
            r.headers_in[name] = value ~= "-" and value or nil
        end
    end
    for _, name in ipairs(credentials) do
        r.headers_in[name] = nil
    end
    r.headers_in["X-Forwarded-For"] = r.useragent_ip
    return apache2.DECLINED
end

-- Whatever goes wrong here, the request does not pass.
function ask(r)
    local done, outcome = pcall(check, r)
    if done then
        return outcome
    end
    disconnect()
    r:err("not verified: " .. tostring(outcome))
    return 503
end
