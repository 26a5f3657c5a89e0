/**
 * How VitePress builds the site. `tools/site.ts` copies this file beside the pages, with `sidebar.json` and
 * `chinese.json`; it imports nothing of VitePress, so that the repository needs none.
 *
 * @module
 */
import { readFileSync } from "node:fs";

const json = (name: string) => JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8"));
/** Chinese titles of pages, which are in English: a search finds them by both. */
const chinese: Record<string, string> = json("./chinese.json");

interface Page {
  readonly relativePath: string;
  readonly frontmatter?: { readonly search?: boolean };
}

interface Markdown {
  readonly options: { highlight?: unknown };
  render(source: string, page: Page): string;
}

export default {
  title: "Catga",
  description: "Commands, queries, events, entities and workflows in TypeScript, for Deno and Bun",
  srcDir: "./pages",
  head: [["link", { rel: "icon", href: "data:," }]],
  markdown: {
    // as GitHub's, for which the links are written
    anchor: {
      slugify: (heading: string) => heading.toLowerCase().replace(/[^\p{L}\p{N}_\- ]/gu, "").replaceAll(" ", "-"),
    },
  },
  transformHtml: (html: string, id: string) =>
    id.endsWith("/zh.html") ? html.replace('lang="en-US"', 'lang="zh-CN"') : undefined,
  themeConfig: {
    sidebar: json("./sidebar.json"),
    outline: [2, 3],
    notFound: { quote: "There is no such page. The search above knows all pages." },
    nav: [
      // a page of its own, not one of VitePress
      { text: "Playground", link: "/playground/index.html", target: "_self" },
      { text: "简体中文", link: "/zh" },
    ],
    search: {
      provider: "local",
      options: {
        _render: (source: string, page: Page, markdown: Markdown) => {
          const { highlight } = markdown.options;
          markdown.options.highlight = null; // an index needs no colours, which take most of the time
          const html = markdown.render(source, page);
          markdown.options.highlight = highlight;
          if (page.frontmatter?.search === false) return "";
          const title = chinese[page.relativePath];
          return title === undefined ? html : html.replace(/(<h1[^>]*>)([^<]*)/, `$1$2 · ${title}`);
        },
        miniSearch: {
          // Chinese has no spaces: each of its characters is a word
          options: { tokenize: (text: string) => text.match(/\p{Script=Han}|[\p{L}\p{N}_]+/gu) ?? [] },
        },
      },
    },
  },
};
