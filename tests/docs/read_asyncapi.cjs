// Reads an AsyncAPI document with the official parser: `just test-asyncapi`.
// npx puts the folder of the parser's package on PATH alone, so that is where it is looked for.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

function findParser() {
  const folders = process.env.PATH.split(path.delimiter).map((bin) => path.dirname(bin));
  const folder = folders.find((each) => fs.existsSync(path.join(each, "@asyncapi", "parser")));
  if (!folder) throw new Error("@asyncapi/parser is not there; run `just test-asyncapi`");
  return require(path.join(folder, "@asyncapi", "parser"));
}

async function read(parser, document) {
  const { document: found, diagnostics } = await parser.parse(document);
  return { found, errors: diagnostics.filter((each) => each.severity === 0), diagnostics };
}

async function main([file]) {
  const { Parser } = findParser();
  const parser = new Parser();
  const text = fs.readFileSync(file, "utf-8");
  const { found, errors, diagnostics } = await read(parser, text);
  for (const each of diagnostics) console.error(`${each.path.join(".") || file}: ${each.message}`);
  if (!found || errors.length > 0) return 1;
  const counts = [found.channels(), found.operations(), found.messages()].map((each) => each.length);
  console.log(`${file} is valid: ${counts[0]} channels, ${counts[1]} operations, ${counts[2]} messages`);
  const broken = { ...JSON.parse(text), info: undefined };
  if ((await read(parser, JSON.stringify(broken))).errors.length > 0) return 0;
  console.error("the parser takes a document without info too: its verdict means nothing");
  return 1;
}

main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error) => {
    console.error(error.message);
    process.exit(1);
  },
);
