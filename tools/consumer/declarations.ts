/**
 * Builds packages with `tsc`, with declarations, against the package as installed: contracts whose types are inferred
 * (`declaration`, `composite`), contracts whose types are written out (`isolatedDeclarations`), codes of behaviors that
 * a program names, and an edge with its browser's client, with and without `exactOptionalPropertyTypes`. Run in a
 * folder with `declarations/` and `node_modules/`; ends with code 1 if a compiler reports an error in one of them.
 *
 * The package lies there as TypeScript, in an environment of another library than its own, so errors inside of
 * `node_modules` are left out: JSR ships declarations.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";

const COMPILERS = ["5.9.3", "7.0.2"];
const PACKAGES: Record<string, { files: readonly string[]; options: object }> = {
  inferred: { files: ["inferred"], options: { composite: true } },
  annotated: { files: ["annotated"], options: { isolatedDeclarations: true } },
  coded: { files: ["coded"], options: { isolatedDeclarations: true } },
  edge: { files: ["edged", "browser"], options: {} },
  "edge, loose": { files: ["edged", "browser"], options: { exactOptionalPropertyTypes: false } },
};
const COMMON = {
  target: "ES2023",
  lib: ["ES2024", "ESNext", "DOM", "DOM.Iterable"],
  module: "NodeNext",
  moduleResolution: "NodeNext",
  strict: true,
  exactOptionalPropertyTypes: true,
  allowImportingTsExtensions: true,
  declaration: true,
  emitDeclarationOnly: true,
  rootDir: ".",
  outDir: "out",
  types: [],
};

let failed = 0;
for (const version of COMPILERS) {
  for (const [name, { files, options }] of Object.entries(PACKAGES)) {
    const project = `tsconfig.${files[0]}.json`;
    rmSync("out", { recursive: true, force: true });
    const paths = files.map((file) => `declarations/${file}.ts`);
    writeFileSync(project, JSON.stringify({ compilerOptions: { ...COMMON, ...options }, files: paths }));
    const command = ["--yes", "--package", `typescript@${version}`, "tsc", "--pretty", "false", "-p", project];
    const { stdout, stderr } = spawnSync("npx", command, { encoding: "utf8" });
    const errors = stdout.split("\n").filter((line) => /^(?!node_modules\/|\.\.\/)\S.*error TS/.test(line));
    const isBuilt = files.every((file) => existsSync(`out/declarations/${file}.d.ts`));
    if (errors.length === 0 && isBuilt) continue;
    failed++;
    console.error(`tsc ${version}, ${name}: ${isBuilt ? "" : "no declarations were written "}`);
    console.error(errors.length > 0 ? errors.join("\n") : `${stdout}${stderr}`.slice(0, 4_000));
  }
}
console.log(
  `declarations: ${COMPILERS.length * Object.keys(PACKAGES).length - failed} builds passed, ${failed} failed`,
);
process.exit(failed > 0 ? 1 : 0);
