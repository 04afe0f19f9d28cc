
"use strict";

// Draws the reference from the OpenAPI document. Texts of the document become text nodes, never
// markup.

const METHODS = ["get", "post", "patch", "put", "delete"];

/** An element with attributes and children; children are elements or texts. */
function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) node.setAttribute(key, value);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** A text of the document: paragraphs, and `code` in backticks. */
function prose(text, className) {
  const paragraphs = (text ?? "").split(/\n\s*\n/).filter(Boolean);
  return paragraphs.map((paragraph) => el("p", className ? { class: className } : {},
    paragraph.split("`").map((part, n) => (n % 2 ? el("code", {}, part) : part))));
}

/** Follows `$ref`s of one document. */
function resolver(api) {
  return function resolve(thing) {
    if (!thing?.$ref) return thing;
    const steps = thing.$ref.replace(/^#\//, "").split("/");
    return resolve(steps.reduce((place, step) => place?.[step], api));
  };
}

/** What kind of value a schema wants, in a few words. */
function typeOf(schema, resolve) {
  const name = schema.$ref?.split("/").pop();
  if (name) return name;
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.map((choice) => typeOf(choice, resolve)).join(" or ");
  const types = [schema.type ?? "any"].flat();
  const words = types.map((type) => (type === "array" && schema.items
    ? `array of ${typeOf(schema.items, resolve)}` : type));
  const format = schema.format && !/^int|^float|^double/.test(schema.format) ? `, ${schema.format}` : "";
  return words.join(" or ") + format + bounds(schema);
}

function bounds(schema) {
  const { minimum, maximum } = schema;
  const preset = schema.default === undefined ? "" : `, ${JSON.stringify(schema.default)} if absent`;
  if (maximum !== undefined) return `, ${minimum ?? 0} to ${maximum}${preset}`;
  return preset;
}

/** A value as it could be sent or answered. */
function exampleOf(schema, resolve) {
  const target = resolve(schema) ?? {};
  if (target.example !== undefined) return target.example;
  const choices = target.oneOf ?? target.anyOf;
  if (choices) return exampleOf(choices.find((choice) => choice.type !== "null") ?? {}, resolve);
  const types = [target.type ?? "object"].flat();
  if (types.includes("object")) {
    const fields = Object.entries(target.properties ?? {});
    return Object.fromEntries(fields.map(([name, field]) => [name, exampleOf(field, resolve)]));
  }
  if (types.includes("null")) return null;
  if (types.includes("array")) return [exampleOf(target.items ?? {}, resolve)].filter((item) => item !== "");
  if (types.includes("boolean")) return false;
  if (types.includes("integer") || types.includes("number")) return target.default ?? target.minimum ?? 0;
  if (target.format === "date-time") return "2026-01-31T12:00:00Z";
  if (target.format === "uuid") return "550e8400-e29b-41d4-a716-446655440000";
  return "";
}

function sample(text) {
  const copy = el("button", { class: "copy", type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  const box = el("div", { class: "sample" }, el("pre", { tabindex: "0" }, text));
  if (navigator.clipboard) box.append(copy);
  return box;
}

/** A table of names with their types and what they mean. */
function table(rows) {
  return el("table", {}, el("tbody", {}, rows.map(({ name, type, required, text }) =>
    el("tr", {},
      el("td", {}, el("code", {}, name), required ? el("span", { class: "required" }, "required") : null,
        el("span", { class: "type" }, type)),
      el("td", {}, prose(text))))));
}

function fields(schema, resolve) {
  let target = resolve(schema) ?? {};
  const choices = target.oneOf ?? target.anyOf;
  if (choices) target = resolve(choices.find((choice) => choice.type !== "null")) ?? {};
  const rows = Object.entries(target.properties ?? {}).map(([name, field]) => ({
    name,
    type: typeOf(field, resolve),
    required: false,
    needed: (target.required ?? []).includes(name),
    text: field.description ?? resolve(field)?.description,
  }));
  return rows.length ? rows : null;
}

function parameters(operation, resolve) {
  const rows = (operation.parameters ?? []).map((parameter) => ({
    name: parameter.name,
    type: `${parameter.in}, ${typeOf(parameter.schema ?? {}, resolve)}`,
    required: parameter.required,
    text: parameter.description,
  }));
  return rows.length ? [el("h4", {}, "Parameters"), table(rows)] : [];
}

/** The content of a body: its media type, its schema, an example. */
function contentOf(body) {
  const [entry] = Object.entries(body?.content ?? {});
  if (!entry) return null;
  const [mediaType, content] = entry;
  return { mediaType, ...content };
}

function bodyExample(content, resolve) {
  return content.example ?? exampleOf(content.schema ?? {}, resolve);
}

function requestBody(operation, resolve) {
  const content = contentOf(resolve(operation.requestBody));
  if (!content) return [];
  const rows = fields(content.schema, resolve) ?? [];
  const optional = operation.requestBody.required ? "" : ", may be left out";
  return [
    el("h4", {}, `Body${optional}`),
    table(rows.map((row) => ({ ...row, required: row.needed }))),
  ];
}

function curl(method, path, operation, resolve) {
  const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}'${location.origin}${path}'`];
  const schemes = (operation.security ?? []).flatMap((entry) => Object.keys(entry));
  if (schemes.includes("ApiKeyAuth")) lines.push(`-H "X-API-Key: $API_KEY"`);
  else if (schemes.includes("BearerAuth")) lines.push(`-H "Authorization: Bearer $TOKEN"`);
  const content = contentOf(resolve(operation.requestBody));
  if (content) {
    const text = JSON.stringify(bodyExample(content, resolve)).replaceAll("'", "'\\''");
    lines.push(`-H 'Content-Type: ${content.mediaType}'`, `-d '${text}'`);
  }
  return lines.join(" \\\n  ");
}

function answer(status, unresolved, resolve) {
  const response = resolve(unresolved);
  const content = contentOf(response);
  const isGood = status.startsWith("2");
  const inside = [];
  const headers = Object.entries(response.headers ?? {});
  if (headers.length) {
    inside.push(table(headers.map(([name, header]) => (
      { name, type: "header", text: header.description }))));
  }
  if (isGood && content?.schema) {
    const rows = fields(content.schema, resolve);
    if (rows) inside.push(table(rows));
  }
  if (content) inside.push(...examples(content, resolve));
  return el("details", isGood ? { open: "" } : {},
    el("summary", {}, el("span", { class: isGood ? "status good" : "status" }, status),
      el("span", {}, response.description)),
    el("div", {}, inside));
}

function examples(content, resolve) {
  const named = Object.values(content.examples ?? {}).map((example) => resolve(example).value);
  const values = named.length ? named : [bodyExample(content, resolve)];
  const isEmpty = (value) => value === "" || (typeof value === "object" && !Object.keys(value).length);
  return values.filter((value) => !isEmpty(value)).map((value) => sample(
    typeof value === "string" ? value : JSON.stringify(value, null, 2)));
}

function who(operation) {
  const schemes = (operation.security ?? []).flatMap((entry) => Object.keys(entry));
  if (!schemes.length) return "anyone";
  const names = { ApiKeyAuth: "API key", BearerAuth: "token" };
  return schemes.map((scheme) => names[scheme] ?? scheme).join(" or ");
}

function draw({ method, path, operation }, resolve) {
  const id = operation.operationId;
  const answers = Object.entries(operation.responses ?? {});
  return el("article", { id },
    el("h3", {}, el("a", { href: `#${id}` }, operation.summary)),
    el("div", { class: "route" },
      el("span", { class: `method ${method}` }, method.toUpperCase()),
      el("code", {}, path),
      el("span", { class: "who" }, who(operation))),
    prose(operation.description),
    parameters(operation, resolve),
    requestBody(operation, resolve),
    el("h4", {}, "Example"),
    sample(curl(method, path, operation, resolve)),
    el("h4", {}, "Answers"),
    answers.map(([status, response]) => answer(status, response, resolve)));
}

/** Tags in the document's order, each with its operations. */
function groups(api) {
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method])
      .map((method) => ({ method, path, operation: item[method] })));
  return api.tags.map((tag) => ({
    tag,
    operations: operations.filter(({ operation }) => operation.tags?.includes(tag.name)),
  })).filter((group) => group.operations.length);
}

function contents(api, all) {
  return [
    el("a", { class: "name", href: "#content" }, api.info.title),
    el("span", { class: "version" }, `${api.info.version} · `, el("a", { href: "openapi.json" }, "openapi.json")),
    ...all.map(({ tag, operations }) => [
      el("h2", {}, tag.name),
      el("ul", {}, operations.map(({ method, operation }) =>
        el("li", {}, el("a", { href: `#${operation.operationId}` },
          el("span", { class: `method ${method}` }, method.toUpperCase()),
          operation.summary)))),
    ]).flat(),
  ];
}

function credentials(api) {
  const schemes = Object.values(api.components?.securitySchemes ?? {});
  const rows = schemes.map((scheme) => ({
    name: scheme.type === "apiKey" ? scheme.name : "Authorization: Bearer",
    type: "header",
    text: scheme.description,
  }));
  return rows.length ? [el("h4", {}, "Credentials"), table(rows)] : [];
}

function errors(api, resolve) {
  const rows = fields(api.components?.schemas?.Error ?? {}, resolve);
  return rows ? [el("h4", {}, "Every error"), table(rows)] : [];
}

async function main() {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`openapi.json: ${response.status}`);
  const api = await response.json();
  const resolve = resolver(api);
  const all = groups(api);
  document.getElementById("contents").append(...contents(api, all));
  const content = document.getElementById("content");
  content.replaceChildren(
    el("h1", {}, api.info.title),
    ...prose(api.info.description),
    el("article", { id: "conventions" }, credentials(api), errors(api, resolve)),
    ...all.flatMap(({ tag, operations }) => [
      el("h2", { class: "tag" }, tag.name),
      ...prose(tag.description, "lead"),
      ...operations.map((entry) => draw(entry, resolve)),
    ]));
  // The place that the address names exists only now.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

main().catch((error) => {
  document.getElementById("loading").textContent = `The API document could not be read: ${error.message}`;
});
