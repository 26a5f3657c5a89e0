/** The messages, entities and runs that a search has found, and how much it may still read. */
import { shownPayload } from "../../contract/declaration/redaction.ts";
import { type LoggedMessage, payloadOf } from "../../log/format/logged_message.ts";
import type { ReadAllowance } from "./read_allowance.ts";
import { shownId, shownText, shownValue } from "../shown.ts";
import type { SearchHit } from "../view.ts";

/**
 * Collects the hits of one search: messages, entities and workflow runs.
 * @decides how many hits a search of the page returns, and what counts as a hit
 */
export class SearchHits {
  readonly hits: SearchHit[] = [];
  readonly searched: string[] = [];
  readonly allowance: ReadAllowance;
  readonly #text: string;
  readonly #showSecrets: boolean;

  constructor(text: string, allowance: ReadAllowance, showSecrets: boolean) {
    this.#text = text;
    this.#showSecrets = showSecrets;
    this.allowance = allowance;
  }

  /** Returns true if enough hits were found, or the limit for reading is reached. */
  get full(): boolean {
    return this.hits.length >= MAX_HITS || this.allowance.spent;
  }

  /**
   * Adds a message to the hits if it matches the search. `where`: the kind of store in which it was found; `place`: the
   * place there, as text for the page.
   */
  take(message: LoggedMessage, where: SearchHit["where"], place: string): void {
    const { id, key, meta, category, time } = message;
    if (![id, key, meta?.c, meta?.a].includes(this.#text) || this.hits.length >= MAX_HITS) return;
    this.hits.push({
      ...{ where, name: shownText(category), id: shownId(id), at: time, place },
      key: shownId(key ?? ""),
      correlation: shownId(meta?.c ?? ""),
      causation: shownId(meta?.a ?? ""),
      payload: shownValue(
        shownPayload(payloadOf(message), { contract: category, headers: meta?.h }, this.#showSecrets),
      ),
    });
  }
}

const MAX_HITS = 200;
