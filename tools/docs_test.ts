/** The pages: README names them all, no link is dead, and each has an example that runs. */
import { assertEquals, assertGreater } from "@std/assert";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { wrongFigures } from "./docs_figures.ts";
import { drawnPictures } from "./drawn_pictures.ts";
import { findExamples } from "./examples.ts";
import { sourceFiles } from "./sources.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFile(join(root, path), "utf8");

/** A page without its code. */
async function prose(path: string): Promise<string> {
  return (await read(path)).replaceAll(/^```.*?^```$/gms, "");
}

/** The anchors of a page's headings, as GitHub makes them. */
async function anchors(path: string): Promise<string[]> {
  return [...(await prose(path)).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_\- ]/gu, "").replaceAll(" ", "-")
  );
}

/** The dead links of a page. */
async function deadLinks(path: string): Promise<string[]> {
  const dead: string[] = [];
  for (const [, link] of (await prose(path)).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(link)) continue;
    const [file, anchor] = link.split("#");
    const target = file === "" ? path : normalize(join(dirname(path), file));
    const there = existsSync(join(root, target)) &&
      (anchor === undefined || !target.endsWith(".md") || (await anchors(target)).includes(anchor));
    if (!there) dead.push(`${path}: ${link}`);
  }
  return dead;
}

const all = (await sourceFiles(root, ["docs"])).filter((file) => file.endsWith(".md"));
/** The pages for contributors. */
const internals = all.filter((file) => file.startsWith("docs/internals/"));
/** Generated tables: of the bench, of the rooms, of what users of NATS may do. */
const figures = all.filter((file) => file.startsWith("docs/figures/"));
/** Made from the sources by `tools/reference.ts`. */
const reference = all.filter((file) => file.startsWith("docs/api/"));
const pages = all.filter((file) => ![...internals, ...figures, ...reference].includes(file));
const architecture = await read("docs/internals/architecture.md");

describe("docs", () => {
  for (const name of ["README.md", "README.zh-CN.md"]) {
    it(`are all named in ${name}`, async () => {
      const readme = await read(name);
      assertEquals(pages.filter((page) => dirname(page) === "docs" && !readme.includes(`](${page})`)), []);
    });
  }

  it("label a link with a type only if it leads to that type in the reference, or to a section of its name", async () => {
    const types = new Map<string, string>();
    for (const page of reference) {
      for (const [, name] of (await read(page)).matchAll(/^## (\w+)$/gm)) {
        types.set(name, `${page}#${name.toLowerCase()}`);
      }
    }
    assertGreater(types.size, 200);
    const wrong: string[] = [];
    for (const page of ["README.md", ...pages]) {
      for (const [, name, link] of (await prose(page)).matchAll(/\[`(\w+)`\]\(([^)]+)\)/g)) {
        const [file, anchor = ""] = link.split("#");
        if (types.has(name) && /(?:^|\/)api(?:\/\w+)?\.md$/.test(file) && anchor !== name.toLowerCase()) {
          wrong.push(`${page}: ${name} leads to ${link}`);
        }
      }
    }
    assertEquals(wrong, []);
  });

  it("in a folder are all named in the page of its name", async () => {
    const within = all.filter((page) =>
      dirname(page) !== "docs" && !internals.includes(page) && !figures.includes(page)
    );
    assertGreater(within.length, 0);
    const missing = await Promise.all(within.map(async (page) => {
      return (await read(`${dirname(page)}.md`)).includes(`](${page.slice("docs/".length)})`) ? [] : [page];
    }));
    assertEquals(missing.flat(), []);
  });

  it("for users cite no file of src/ or test/", async () => {
    const citing = (await Promise.all(pages.map(async (page) => {
      return /(?<![\w/@-])(?:src|test)\/\w/.test(await read(page)) ? [page] : [];
    }))).flat();
    assertEquals(citing, []);
  });

  it("in docs/internals/ are all named in CONTRIBUTING.md, and name only files that exist", async () => {
    const contributing = await read("CONTRIBUTING.md");
    assertEquals(internals.filter((page) => !contributing.includes(`](${page})`)), []);
    const named = (await Promise.all(internals.map(read))).flatMap((text) =>
      [...text.matchAll(/`((?:src|test|tools|docs)\/[\w./-]+\.\w+)`/g)].map(([, file]) => file)
    );
    assertGreater(named.length, 20);
    assertEquals(named.filter((file) => !existsSync(join(root, file))), []);
  });

  it("docs/internals/architecture.md: a path names files of src/ that exist, and functions that each has", async () => {
    const [paths] = architecture.split("\n## Eight paths, file by file\n")[1].split("\n## ");
    const wrong: string[] = [];
    let [file, source, names] = ["", "", 0];
    for (const [, code] of paths.split("\n1. ")[1].matchAll(/`([^`]+)`/g)) {
      if (code.endsWith(".ts")) {
        file = `src/${code}`;
        source = existsSync(join(root, file)) ? await read(file) : "";
        if (source === "") wrong.push(`there is no ${file}`);
      } else if (/^#?\w+$/.test(code)) {
        names++;
        if (!new RegExp(`(?<![\\w#])${code}(?!\\w)`).test(source)) wrong.push(`${file} has no ${code}`);
      }
    }
    assertGreater(names, 40);
    assertEquals(wrong, []);
  });

  it("in docs/figures/ are each named in another page, and have no empty table", async () => {
    const texts = await Promise.all([...pages, ...internals].map(read));
    assertGreater(figures.length, 0);
    const named = (page: string) => texts.some((text) => text.includes(`${page.slice("docs/".length)})`));
    assertEquals(figures.filter((page) => !named(page)), []);
    const empty = (await Promise.all(figures.map(read))).flatMap((text) =>
      [...text.matchAll(/<!-- bench (\S+) -->\s*<!-- \/bench -->/g)].map(([, id]) => id)
    );
    assertEquals(empty, []);
  });

  it("have the same headings, tables and code in both languages", async () => {
    const shape = async (name: string) => {
      const text = await read(name);
      return {
        headings: text.match(/^##? /gm)?.length,
        code: text.match(/^```ts$/gm)?.length,
        rows: text.match(/^\|/gm)?.length,
      };
    };
    assertEquals(await shape("README.zh-CN.md"), await shape("README.md"));
  });

  it("have the figures of the constants that decide them; a text that is reworded is reworded in docs_figures.ts", async () => {
    assertEquals(await wrongFigures(), []);
  });

  it("each have an example that runs, or the command of their measurements", async () => {
    const running = (await findExamples(root, pages)).map(({ file }) => file);
    const measured =
      (await Promise.all(pages.map(async (page) => (await read(page)).includes("deno task bench") ? [page] : [])))
        .flat();
    assertEquals(pages.filter((page) => !running.includes(page) && !measured.includes(page)), []);
  });

  it("have a section in errors.md for each code", async () => {
    const codes = [...(await read("src/error.ts")).matchAll(/^ {2}\| "([A-Z_]+)"/gm)].map(([, code]) => code);
    assertGreater(codes.length, 10);
    const sections = await anchors("docs/errors.md");
    assertEquals(codes.filter((code) => !sections.includes(code.toLowerCase())), []);
  });

  it("each link to the API reference, which names what the entrypoints export to programs", async () => {
    const guides = pages.filter((page) => dirname(page) === "docs" && page !== "docs/api.md");
    const linking = (await Promise.all(["README.md", ...guides].map(async (page) => {
      return (await read(page)).includes("api.md)") ? [page] : [];
    }))).flat();
    assertEquals(linking, ["README.md", ...guides]);
    const reference = await read("docs/api.md");
    const exported = (await Promise.all([
      import("../mod.ts"),
      import("../src/behaviors/mod.ts"),
      import("../src/http/mod.ts"),
      import("../src/sql/mod.ts"),
      import("../src/testing/mod.ts"),
    ])).flatMap((entrypoint) => Object.keys(entrypoint));
    assertGreater(exported.length, 15);
    assertEquals(exported.filter((name) => !reference.includes(`\`${name}\``)), []);
  });

  it("in the sources: each function and class that an entrypoint exports has an example", async () => {
    const exported = (await Promise.all([
      import("../mod.ts"),
      import("../src/behaviors/mod.ts"),
      import("../src/cli/main.ts"),
      import("../src/client/mod.ts"),
      import("../src/http/mod.ts"),
      import("../src/sql/mod.ts"),
      import("../src/testing/mod.ts"),
    ])).flatMap((entrypoint) => Object.keys(entrypoint));
    assertGreater(exported.length, 15);
    const sources = (await sourceFiles(root, ["src"])).filter((file) => !file.endsWith("_test.ts"));
    const documented = new Set(
      (await Promise.all(sources.map(read))).flatMap((text) =>
        [...text.matchAll(
          /\/\*\*(?:(?!\*\/)[^])*? \* @example\n(?:(?!\*\/)[^])*\*\/\nexport (?:async )?(?:class|function) (\w+)/g,
        )]
          .map(([, name]) => name)
      ),
    );
    assertEquals(exported.filter((name) => !documented.has(name)), []);
  });

  it("show the pictures as tools/drawn_pictures.ts draws them, each with a text for those who do not see it", async () => {
    const texts = await Promise.all(pages.map(read));
    const pictures = drawnPictures();
    assertEquals(pictures.size, 6);
    for (const [path, picture] of pictures) {
      assertEquals(await read(path), picture, `${path}: deno run -A tools/drawn_pictures.ts`);
      const link = `](${path.slice("docs/".length)})`;
      const alternatives = texts.flatMap((text) =>
        text.split(link).slice(0, -1).map((before) => before.split("![").at(-1)!)
      );
      assertGreater(alternatives[0]?.length ?? 0, 40, `${path}: no page shows it with a text`);
    }
  });

  it("contain no dead link", async () => {
    const more = (await sourceFiles(root, [
      "README.md",
      "README.zh-CN.md",
      "CONTRIBUTING.md",
      "CHANGELOG.md",
      "examples",
      "bench",
    ]))
      .filter((file) => file.endsWith(".md"));
    assertEquals((await Promise.all([...all, ...more].map(deadLinks))).flat(), []);
  });
});
