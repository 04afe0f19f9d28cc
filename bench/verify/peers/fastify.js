// A peer: fastify with @fastify/jwt, which verifies an HS256 token and says yes with an empty body.
//
//   node fastify.js REQUESTS [cached]
//
// Writes requests with 1,000 tokens of its own to the file, then prints where it listens. With `cached`
// the plugin remembers tokens that it verified before; by default it does not.
import { writeFileSync } from "node:fs";
import { randomBytes, randomUUID } from "node:crypto";
import jwt from "@fastify/jwt";
import Fastify from "fastify";

const [file, cached] = process.argv.slice(2);
const app = Fastify();
await app.register(jwt, {
  secret: randomBytes(32),
  sign: { algorithm: "HS256", expiresIn: "1h" },
  verify: { algorithms: ["HS256"], cache: cached === "cached" ? 100_000 : false },
});

app.get("/api/auth/verify", { onRequest: (request) => request.jwtVerify() }, (request, reply) => {
  reply.header("X-Auth-Subject", request.user.sub).send();
});

await app.ready();
const requests = Array.from({ length: 1000 }, () => {
  const token = app.jwt.sign({
    iss: "sealgate",
    sub: randomUUID(),
    permissions: "api:read api:write",
    jti: randomUUID(),
  });
  return `GET\t/api/auth/verify\tAuthorization: Bearer ${token}\n`;
});
writeFileSync(file, requests.join(""));
console.log(await app.listen({ host: "127.0.0.1", port: 0 }));
