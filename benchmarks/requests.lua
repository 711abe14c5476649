-- What wrk sends: wrk -s requests.lua URL -- OPERATION TARGETS SEED
-- TARGETS is a file with a token and a task of its user on each line; neighbours are of different users.

local NEW = '{"title": "Buy milk", "description": "Two litres, and bread if there is any",'
    .. ' "priority": "high", "due_date": "2027-03-01"}'
local MIX = {
    "get", "get", "list", "get", "get", "post", "get", "get", "get", "list",
    "get", "get", "patch", "get", "get", "post", "get", "get", "list", "get",
}

local targets, operation, seed, count = {}, nil, nil, 0
local fixed = {}

local function headers(token, writes)
    local all = { Authorization = "Bearer " .. token }
    if writes then all["Content-Type"] = "application/json" end
    return all
end

function init(args)
    operation, seed = args[1], args[3]
    for line in io.lines(args[2]) do
        local token, id = line:match("(%S+) (%S+)")
        table.insert(targets, {
            get = wrk.format("GET", "/v1/tasks/" .. id, headers(token)),
            list = wrk.format("GET", "/v1/tasks", headers(token)),
            post = wrk.format("POST", "/v1/tasks", headers(token, true), NEW),
            path = "/v1/tasks/" .. id,
            headers = headers(token, true),
        })
    end
end

function request()
    count = count + 1
    -- A step further after each round of the mix, so that its writes are not always of one user.
    local target = targets[(count + math.floor(count / #MIX)) % #targets + 1]
    local kind = operation == "mix" and MIX[count % #MIX + 1] or operation
    if kind ~= "patch" then return target[kind] end
    -- Another title each time, so that each of them changes something.
    local body = '{"title": "Change ' .. count .. " of " .. seed .. '"}'
    return wrk.format("PATCH", target.path, target.headers, body)
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "seconds": %.6f, "errors": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
        summary.requests, summary.duration / 1e6,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
    ))
end
