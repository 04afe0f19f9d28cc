// A peer: better-auth's API-key plugin behind node's own server, which says yes with an empty body.
//
//   node better-auth.js REQUESTS
//
// Writes requests with 1,000 keys of its own to the file, then prints where it listens. It is set up for
// speed: keys in a map in memory in place of a database, without the limit of ten requests a day.
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";

const [file] = process.argv.slice(2);
const kept = new Map();
const auth = betterAuth({
  baseURL: "http://127.0.0.1",
  secret: randomBytes(32).toString("hex"),
  database: memoryAdapter({ user: [], session: [], account: [], verification: [], apikey: [] }),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  secondaryStorage: {
    get: (key) => kept.get(key) ?? null,
    set: (key, value) => void kept.set(key, value),
    delete: (key) => void kept.delete(key),
  },
  plugins: [apiKey({ storage: "secondary-storage", rateLimit: { enabled: false } })],
});

const { user } = await auth.api.signUpEmail({
  body: { name: "Ada", email: "ada@example.com", password: randomBytes(16).toString("hex") },
});
const requests = [];
for (let made = 0; made < 1000; made += 1) {
  const { key } = await auth.api.createApiKey({ body: { userId: user.id, name: `Worker ${made}` } });
  requests.push(`GET\t/api/auth/verify\tX-API-Key: ${key}\n`);
}
writeFileSync(file, requests.join(""));

const server = createServer(async (request, response) => {
  const key = request.headers["x-api-key"] ?? "";
  const { valid, key: known } = await auth.api.verifyApiKey({ body: { key } });
  if (valid) {
    response.setHeader("X-Auth-Key-Id", known.id);
  }
  response.writeHead(valid ? 200 : 401, { "Content-Length": 0 }).end();
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
