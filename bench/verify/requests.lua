-- For wrk: each request is one of a file's, drawn at random. A line of the file has a method, a path
-- and headers, with a tab between any two. When it is over, the figures are printed as JSON.
--
--   wrk … -s requests.lua URL -- FILE

local random = math.random
local requests, count = {}, 0

function init(arguments)
    math.randomseed(os.time())
    for line in io.lines(arguments[1]) do
        local parts = {}
        for part in line:gmatch("[^\t]+") do
            parts[#parts + 1] = part
        end
        local headers = {}
        for at = 3, #parts do
            local name, value = parts[at]:match("^([^:]+): (.*)$")
            headers[name] = value
        end
        count = count + 1
        -- The whole request as it is sent, so that none is put together while wrk measures.
        requests[count] = wrk.format(parts[1], parts[2], headers)
    end
    assert(count > 0, "no request in " .. arguments[1])
end

function request()
    return requests[random(count)]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "microseconds": %d, "p50": %.0f, "p99": %.0f, "broken": %d, "refused": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
