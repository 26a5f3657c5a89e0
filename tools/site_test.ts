import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { readSite } from "./site.ts";

const { pages, files, sidebar, chinese } = await readSite();

describe("the site of the docs", () => {
  it("has a page, a picture or a file behind each link", () => {
    const dead: string[] = [];
    let links = 0;
    for (const [page, text] of pages) {
      const prose = text.replaceAll(/^```[^]*?^```$/gm, "");
      for (const [, link] of prose.matchAll(/(?:\]\(|src=")([^)"\s]+)[)"]/g)) {
        if (/^[a-z]+:|^#/.test(link)) continue;
        links++;
        const path = link.slice(1).split("#")[0];
        if (!link.startsWith("/") || !(pages.has(path) || files.has(path))) dead.push(`${page}: ${link}`);
      }
    }
    assertGreater(links, 1_000);
    assertEquals(dead, []);
  });

  it("has four shelves as its side bar, with every page", () => {
    assertEquals(sidebar.map(({ text }) => text), ["Learn", "Do", "Understand", "Look up"]);
    const linked = new Set(
      sidebar.flatMap(({ items = [] }) => items.flatMap((item) => [item, ...item.items ?? []])).map(({ link }) =>
        `${link!.slice(1)}.md`
      ),
    );
    const missing = [...pages.keys()].filter((page) =>
      !/^(?:files\/|index\.md|zh\.md)/.test(page) && !linked.has(page)
    );
    assertEquals(missing, []);
  });

  it("has a Chinese title for each page, by which a search finds it", () => {
    const titled = Object.keys(chinese);
    const missing = [...pages.keys()].filter((page) => !page.includes("/") && !titled.includes(page));
    assertEquals(missing, ["index.md", "zh.md"]);
  });
});
