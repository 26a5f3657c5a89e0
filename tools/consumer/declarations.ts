/**
 * Builds packages with `tsc`, with declarations, against the package as installed: contracts whose types are inferred
 * (`declaration`, `composite`), contracts whose types are written out (`isolatedDeclarations`), codes of behaviors that
 * a program names, and an edge with its browser's client, with and without `exactOptionalPropertyTypes`. Run in a
 * folder with `declarations/` and `node_modules/`; ends with code 1 if a compiler reports an error in one of them.
 *
 * The package lies there as TypeScript, in an environment of another library than its own, so errors inside of
 * `node_modules` are left out: JSR ships declarations. The compiler of TypeScript 5 is asked for the errors of the
 * built files alone, in one process that reads the package once: `tsc` would check the whole package for each build,
 * for a minute of processor. TypeScript 7 has no such interface; its `tsc` takes 2 s a build.
 *
 * @module
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";

/** The parts of the package `typescript` that {@link compileOwn} uses. */
interface TypeScript {
  readonly version: string;
  readonly sys: object;
  parseJsonConfigFileContent(
    config: object,
    system: object,
    folder: string,
  ): { readonly options: object; readonly fileNames: readonly string[]; readonly errors: readonly Diagnostic[] };
  createCompilerHost(options: object): Host;
  createProgram(files: readonly string[], options: object, host: Host): Compiled;
  formatDiagnostic(diagnostic: Diagnostic, host: Host): string;
}
interface Diagnostic {
  readonly code: number;
}
interface SourceText {
  readonly fileName: string;
}
interface Host {
  getSourceFile(file: string, ...more: readonly unknown[]): SourceText | undefined;
}
interface Compiled {
  getSourceFile(file: string): SourceText;
  getOptionsDiagnostics(): readonly Diagnostic[];
  getGlobalDiagnostics(): readonly Diagnostic[];
  getSyntacticDiagnostics(source: SourceText): readonly Diagnostic[];
  getSemanticDiagnostics(source: SourceText): readonly Diagnostic[];
  getDeclarationDiagnostics(source: SourceText): readonly Diagnostic[];
  emit(source: SourceText, write: undefined, cancellation: undefined, onlyDeclarations: true): unknown;
}

/** Builds a project; returns the errors in its own files, and what the compiler printed. */
type Compiler = (config: object) => { readonly errors: readonly string[]; readonly output: string };

const COMPILERS: Record<string, Compiler> = { "5.9.3": compileOwn("5.9.3"), "7.0.2": compileAll("7.0.2") };
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
for (const [version, compile] of Object.entries(COMPILERS)) {
  for (const [name, { files, options }] of Object.entries(PACKAGES)) {
    rmSync("out", { recursive: true, force: true });
    const paths = files.map((file) => `declarations/${file}.ts`);
    const { errors, output } = compile({ compilerOptions: { ...COMMON, ...options }, files: paths });
    const isBuilt = files.every((file) => existsSync(`out/declarations/${file}.d.ts`));
    if (errors.length === 0 && isBuilt) continue;
    failed++;
    console.error(`tsc ${version}, ${name}: ${isBuilt ? "" : "no declarations were written "}`);
    console.error(errors.length > 0 ? errors.join("\n") : output.slice(0, 4_000));
  }
}
console.log(
  `declarations: ${
    Object.keys(COMPILERS).length * Object.keys(PACKAGES).length - failed
  } builds passed, ${failed} failed`,
);
process.exit(failed > 0 ? 1 : 0);

/** A compiler in this process. The files of the package are parsed once for all builds. */
function compileOwn(version: string): Compiler {
  const find = ["--yes", "--package", `typescript@${version}`, "--", "sh", "-c", "command -v tsc"];
  const tsc = realpathSync(execFileSync("npx", find, { encoding: "utf8" }).trim());
  const typescript: TypeScript = createRequire(tsc)("typescript");
  if (typescript.version !== version) throw new Error(`npx found typescript ${typescript.version}, not ${version}`);
  const parsed = new Map<string, SourceText | undefined>();
  return (config) => {
    const { options, fileNames, errors } = typescript.parseJsonConfigFileContent(config, typescript.sys, process.cwd());
    const host = typescript.createCompilerHost(options);
    const read = host.getSourceFile.bind(host);
    host.getSourceFile = (file, ...more) => {
      if (!parsed.has(file)) parsed.set(file, read(file, ...more));
      return parsed.get(file);
    };
    const program = typescript.createProgram(fileNames, options, host);
    const found = [...errors, ...program.getOptionsDiagnostics(), ...program.getGlobalDiagnostics()];
    for (const source of fileNames.map((file) => program.getSourceFile(file))) {
      found.push(
        ...program.getSyntacticDiagnostics(source),
        ...program.getSemanticDiagnostics(source),
        ...program.getDeclarationDiagnostics(source),
      );
      program.emit(source, undefined, undefined, true);
    }
    return { errors: found.map((diagnostic) => typescript.formatDiagnostic(diagnostic, host)), output: "" };
  };
}

/** `tsc` in a process of its own, which checks the package as well. */
function compileAll(version: string): Compiler {
  return (config) => {
    writeFileSync("tsconfig.json", JSON.stringify(config));
    const command = ["--yes", "--package", `typescript@${version}`, "tsc", "--pretty", "false", "-p", "tsconfig.json"];
    const { stdout, stderr } = spawnSync("npx", command, { encoding: "utf8" });
    const errors = stdout.split("\n").filter((line) => /^(?!node_modules\/|\.\.\/)\S.*error TS/.test(line));
    return { errors, output: `${stdout}${stderr}` };
  };
}
