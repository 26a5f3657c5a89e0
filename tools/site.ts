/**
 * The site of the docs, by VitePress, from the pages as they are on GitHub: shelves and titles are those of README.md.
 *
 *   deno task docs            builds it in dist/site, and serves it on a free port of 127.0.0.1
 *   deno task docs --build    builds it
 *
 * The playground of `explore` is made by Bun. A link to a file that is no page leads to a copy of that file, one to a
 * folder to a list of its files. VitePress is fetched from npm into `.cache/`, and runs in Node.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { createReadStream, existsSync } from "node:fs";
import { copyFile, cp, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { createGzip } from "node:zlib";
import { bunBinary } from "./bun.ts";
import { llmsTexts } from "./llms.ts";
import { fetchPackages } from "./npm_packages.ts";
import { makePlayground } from "./playground.ts";
import { Processes } from "./processes.ts";
import { sourceFiles } from "./sources.ts";

const VITEPRESS = "vitepress@1.6.4";
const root = fileURLToPath(new URL("..", import.meta.url));
const place = join(root, ".cache", VITEPRESS);
const output = join(root, "dist", "site");
const read = (path: string) => readFile(join(root, path), "utf8");

/** Pages of the repository outside of docs/, by their places on the site. */
const OTHERS: ReadonlyMap<string, string> = new Map(Object.entries({
  "README.md": "index.md",
  "README.zh-CN.md": "zh.md",
  "CONTRIBUTING.md": "contributing.md",
}));
/** Pages for contributors, and tables of figures, are on the site as their text: as pages they took half of a build. */
const AS_TEXT = /^docs\/(?:internals|figures)\//;

/** The folder of a page that stands beside the others: `tools/playground.ts` makes its files. */
const PLAYGROUND = "tools/site/playground";
const PLAYGROUND_PAGE = "/playground/index.html";

/** A group of the side bar, or a page in it. */
export interface Shelf {
  readonly text: string;
  readonly link?: string;
  readonly items?: readonly Shelf[];
  readonly collapsed?: boolean;
}

/** What VitePress builds. */
export interface Site {
  /** The text of each page, by its path on the site. */
  readonly pages: ReadonlyMap<string, string>;
  /** The repository's files that pages link to or show, by their paths on the site. */
  readonly files: ReadonlyMap<string, string>;
  readonly sidebar: readonly Shelf[];
  /** Chinese titles of pages. */
  readonly chinese: Readonly<Record<string, string>>;
}

/** Reads the pages of the repository, and has their links lead to places on the site. */
export async function readSite(): Promise<Site> {
  const sources = new Map(OTHERS);
  for (const path of await sourceFiles(root, ["docs"])) {
    if (path.endsWith(".md") && !AS_TEXT.test(path)) sources.set(path, path.slice("docs/".length));
  }
  const [pages, files]: [Map<string, string>, Map<string, string>] = [new Map(), new Map()];

  /** Where a link of the page `source` leads on the site. */
  const place = (source: string, link: string): string => {
    if (/^[a-z]+:|^#/.test(link)) return link;
    const [file, anchor] = link.split("#");
    const target = normalize(join(dirname(source), file)).replace(/\/$/, "");
    const page = sources.get(target);
    if (page !== undefined) return `/${page}${anchor === undefined ? "" : `#${anchor}`}`;
    if (target.startsWith("docs/pictures/") || /^docs\/llms[\w-]*\.txt$/.test(target)) {
      const path = target.slice("docs/".length);
      files.set(path, target);
      return `/${path}`;
    }
    if (target === PLAYGROUND) {
      files.set(PLAYGROUND_PAGE.slice(1), `${PLAYGROUND}/index.html`);
      return PLAYGROUND_PAGE;
    }
    if (existsSync(join(root, target)) && extname(target) === "") return `/files/${target}/index.md`;
    files.set(`files/${target}.txt`, target); // as text: a browser takes a .ts for a film
    return `/files/${target}.txt`;
  };
  const placed = (source: string, text: string) =>
    text.split(/(^```[^]*?^```$)/m).map((part, i) =>
      i % 2 === 1 ? part : part
        .replaceAll(/\]\(([^)\s]+)\)/g, (_, link) => {
          const at = place(source, link);
          // the browser has to load that page: the router of VitePress knows no such page
          return at === PLAYGROUND_PAGE ? `](${at}){target="_self"}` : `](${at})`;
        })
        .replaceAll(
          /<picture>\s*<source[^>]*srcset="([^"]+)">\s*<img src="([^"]+)" alt="([^"]*)">\s*<\/picture>/g,
          (_, dark, light, alt) =>
            `<img class="only-light" src="${place(source, light)}" alt="${alt}">` +
            `<img class="only-dark" src="${place(source, dark)}" alt="${alt}">`,
        )
    ).join("");

  for (const [source, page] of sources) {
    const text = placed(source, await read(source));
    pages.set(page, text);
  }
  for (const text of [...pages.values()]) {
    for (const [, folder] of text.matchAll(/\]\(\/files\/([^)]+)\/index\.md\)/g)) {
      const inside = await sourceFiles(root, [folder]);
      const lines = inside.map((file) => {
        files.set(`files/${file}.txt`, file);
        return `- [${file.slice(folder.length + 1)}](/files/${file}.txt)`;
      });
      pages.set(`files/${folder}/index.md`, `---\nsearch: false\n---\n\n# ${folder}\n\n${lines.join("\n")}\n`);
    }
  }
  return { pages, files, sidebar: shelvesOf(pages), chinese: chineseTitles(pages) };
}

/** The side bar: README's list of the docs, and below a page those of the folder of its name. */
function shelvesOf(pages: ReadonlyMap<string, string>): Shelf[] {
  const [, list] = pages.get("index.md")!.split("\n## Documentation\n");
  return list.split(/^- /m).slice(1).map((shelf) => ({
    text: /^\*\*(.+?)\*\*/.exec(shelf)![1],
    items: [...shelf.matchAll(/\[([^\]]+)\]\(\/([^)#]+)\.md\)/g)].map(([, text, page]) => {
      const inside = [...new Set(pages.get(`${page}.md`)?.match(new RegExp(`(?<=\\]\\(/)${page}/[^)#]+\\.md`, "g")))];
      const items = inside.map((path) => ({ text: titleOf(pages.get(path)!), link: `/${path.slice(0, -3)}` }));
      return { text, link: `/${page}`, ...(items.length > 0 ? { items, collapsed: true } : {}) };
    }),
  }));
}

function chineseTitles(pages: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries(
    [...pages.get("zh.md")!.matchAll(/\[([^\]]*\p{Script=Han}[^\]]*)\]\(\/([^)#]+\.md)\)/gu)]
      .map(([, title, page]) => [page, title]),
  );
}

function titleOf(text: string): string {
  return /^# (.*)$/m.exec(text)![1].replaceAll("`", "");
}

/** Builds the site in dist/site. */
export async function buildSite(): Promise<void> {
  await fetchPackages(place, VITEPRESS);
  const { pages, files, sidebar, chinese } = await readSite();
  const site = join(place, "site");
  await rm(join(site, "pages"), { recursive: true, force: true });
  const write = async (path: string, text: string) => {
    await mkdir(dirname(join(site, path)), { recursive: true });
    await writeFile(join(site, path), text);
  };
  for (const [page, text] of pages) await write(`pages/${page}`, text);
  for (const [path, file] of files) {
    await mkdir(dirname(join(site, "pages/public", path)), { recursive: true });
    await copyFile(join(root, file), join(site, "pages/public", path));
  }
  const { files: playground } = await makePlayground(await bunBinary(new Processes()));
  for (const [name, text] of playground) await write(`pages/public/playground/${name}`, text);
  await write(".vitepress/sidebar.json", JSON.stringify(sidebar));
  await write(".vitepress/chinese.json", JSON.stringify(chinese));
  await write(".vitepress/config.ts", await read("tools/site/config.ts"));
  await write(".vitepress/theme/style.css", await read("tools/site/style.css"));
  // without its fonts, which would be more than all else that a page needs
  const theme = 'import theme from "vitepress/theme-without-fonts";\nimport "./style.css";\nexport default theme;\n';
  await write(".vitepress/theme/index.ts", theme);
  await run("node", [join(place, "node_modules", "vitepress", "bin", "vitepress.js"), "build"], site);

  await rm(output, { recursive: true, force: true });
  await cp(join(site, ".vitepress", "dist"), output, { recursive: true });
  // for language models: their texts, and each page as it is written, at its address with .md
  for (const [path, text] of await llmsTexts()) await writeFile(join(output, path.split("/").at(-1)!), text);
  for (const [page, text] of pages) await writeFile(join(output, page), text);
}

function run(file: string, args: readonly string[], cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(file, [...args], { cwd, timeout: 300_000 }, (error, out, errors) => {
      if (error) reject(new Error(`${out}${errors}`, { cause: error }));
      else resolve();
    });
  });
}

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".md": "text/markdown; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".webp": "image/webp",
};

/** Serves dist/site on a free port of 127.0.0.1; resolves with the address. */
export async function serveSite(): Promise<{ readonly server: Server; readonly address: string }> {
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url!, "http://localhost").pathname);
    const named = join(output, normalize(path));
    const found = [named, `${named}.html`, join(named, "index.html")];
    const isFile = await Promise.all(found.map((file) => stat(file).then((it) => it.isFile(), () => false)));
    const file = found.find((_, i) => isFile[i]) ?? join(output, "404.html");
    const type = TYPES[extname(file)];
    const packs = type !== "image/webp" && /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
    response.writeHead(isFile.includes(true) ? 200 : 404, {
      "content-type": type ?? "application/octet-stream",
      ...(packs ? { "content-encoding": "gzip" } : {}),
    });
    const bytes = createReadStream(file);
    if (packs) bytes.pipe(createGzip()).pipe(response);
    else bytes.pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error(`${address} is no address of a port`);
  return { server, address: `http://127.0.0.1:${address.port}/` };
}

if (import.meta.main) {
  const [word, ...more] = process.argv.slice(2);
  if ((word !== undefined && word !== "--build") || more.length > 0) {
    console.error(`${process.argv.slice(2).join(" ")}: only --build is known`);
    process.exit(2);
  }
  const began = performance.now();
  await buildSite();
  console.log(`dist/site: built in ${((performance.now() - began) / 1000).toFixed(0)} s`);
  if (word === undefined) console.log(`${(await serveSite()).address}  (Ctrl-C ends it)`);
}
