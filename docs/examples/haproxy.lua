-- Asks Sealgate about each request, for haproxy.cfg beside this file; docs/proxies.md says more.
-- It uses what is built into HAProxy since 2.5 and keeps connections to Sealgate open. `nil` is no
-- header here, and headers are numbered from 0.

-- What Sealgate is shown of the client's headers. The third is what sessions.header names.
local shown = { "authorization", "x-api-key", "x-gomaluum-key", "user-agent", "cookie" }

-- What the application is told, instead of anything that the client wrote. All have to be answered.
local identity = {
    "x-auth-kind", "x-auth-key-id", "x-auth-subject", "x-auth-permissions", "x-auth-environment",
}

-- What takes the place of the client's if it is answered, which it is where some rule adds a cookie:
-- the client's cookies and that one, or `-` for none.
local optional = { "cookie" }

-- What the client is told of a refusal, besides RateLimit and its like.
local told = { ["www-authenticate"] = true, ["retry-after"] = true, ["x-request-id"] = true }

-- Milliseconds in which Sealgate must answer. HAProxy tries four times.
local patience = 2000

local function question(txn)
    local headers = {
        ["x-original-method"] = { txn.f:method() },
        ["x-original-uri"] = { txn.f:pathq() },
        -- With server.trusted_proxies = ["127.0.0.1"]: for allow-lists and the audit log.
        ["x-forwarded-for"] = { txn.f:src() },
    }
    local client = txn.http:req_get_headers()
    for _, name in ipairs(shown) do
        -- All values of a name that is there twice: which of them counts is not for the proxy to say.
        local values = client[name]
        if values then
            headers[name] = {}
            for i = 0, #values do
                table.insert(headers[name], values[i])
            end
        end
    end
    return headers
end

local function refuse(txn, status, headers)
    local reply = txn:reply{ status = status }
    for name, values in pairs(headers) do
        if told[name] or name:find("^ratelimit") then
            for i = 0, #values do
                reply:add_header(name, values[i])
            end
        end
    end
    txn:done(reply)
end

-- Ends with the variable txn.sealgate_passed set, or with an answer to the client, or, if anything is
-- amiss, with neither: haproxy.cfg lets through only what has the variable.
local function ask(txn, url)
    local answer = core.httpclient():get{
        url = url, headers = question(txn), timeout = patience,
    }
    if answer.status ~= 200 then
        local refusals = { [400] = true, [401] = true, [403] = true, [429] = true }
        return refuse(txn, refusals[answer.status] and answer.status or 503, answer.headers or {})
    end
    for _, name in ipairs(identity) do
        txn.http:req_set_header(name, answer.headers[name][0])
    end
    for _, name in ipairs(optional) do
        local values = answer.headers[name]
        if values and values[0] == "-" then
            txn.http:req_del_header(name)
        elseif values then
            txn.http:req_set_header(name, values[0])
        end
    end
    txn:set_var("txn.sealgate_passed", true)
end

core.register_action("sealgate", { "http-req" }, ask, 1)
