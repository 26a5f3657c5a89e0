/** `deno task where`: decisions of every kind are found by the words of a question. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { allPlaces, findPlaces, placesIn } from "./where.ts";

const places = await allPlaces(fileURLToPath(new URL("..", import.meta.url)));

describe("where", () => {
  const known: [question: string, file: string][] = [
    ["order of messages with the same key", "src/log/subscriptions/category.ts"],
    ["retry attempts dead letter", "src/log/subscriptions/after_failure.ts"],
    ["HTTP status of an error code", "src/http/respond.ts"],
    ["sleeping run wakes", "src/flow/execution/waits.ts"],
    ["next fault of explore", "src/testing/explore_options.ts"],
    ["who may press retry on the page", "src/dashboard/changing/allowed_changes.ts"],
    ["connection lost, requests sent again", "src/cluster/wire/request_ledger.ts"],
    ["order of behaviors", "src/dispatch/mediator.ts"],
  ];
  for (const [question, file] of known) {
    it(`finds "${question}" among the first ten`, () => {
      const found = findPlaces(places, question.split(" ")).slice(0, 10).map((place) => place.file);
      assertEquals(found.includes(file), true, found.join("\n"));
    });
  }

  it("has each file of src/ with its first sentence", () => {
    const silent = places.filter(({ name, sentence }) => name === undefined && sentence === "");
    assertEquals(silent, []);
  });

  it("takes a file's comment for the file, and a declaration's for the declaration", () => {
    const source = '/**\n * The turns of a key. More.\n * @decides who is next\n */\nimport "./x.ts";\n\n' +
      "/** Takes a turn. */\nexport function take() {\n}\n";
    assertEquals(placesIn("a.ts", source), [
      { file: "a.ts", name: undefined, sentence: "The turns of a key.", rest: "More.", decides: ["who is next"] },
      { file: "a.ts", name: "take", sentence: "Takes a turn.", rest: "", decides: [] },
    ]);
  });

  it("finds nothing for words that no comment has", () => {
    assertEquals(findPlaces(places, ["xyzzy"]), []);
  });
});
