/** Where a stream of an edge goes on for a client that has lost its connection after an item. */
import type { AnyContract } from "../contract/declaration/contract.ts";
import { IDLE } from "../contract/declaration/defaults.ts";
import { type MaybePromise, validate } from "../contract/schemas/schema.ts";
import { describeContract, shapeOf } from "../contract/schemas/shape.ts";
import { encodeValue } from "../data/encoding.ts";
import { CatgaError } from "../error.ts";
import { type Clock, valueWithin } from "../ports/clock.ts";
import type { EdgeResume } from "./edge_types.ts";
import { EdgeRefusal, invalidRequest } from "./refusal.ts";
import { inputOf } from "./request_input.ts";
import { decodedPart } from "./request_url.ts";

/**
 * How a stream is resumed after an item: functions that make the text of an item's place, and the input with which to
 * continue after it.
 */
export interface StreamPlace {
  id(item: unknown): string;
  from(input: unknown, id: string): MaybePromise<unknown>;
}

/**
 * Returns the input with which a stream continues after an item; `place`: `undefined` if the stream cannot be resumed.
 * Throws a refusal if it cannot, or if the program's function throws for the text that the client sent.
 */
export async function inputAfter(place: StreamPlace | undefined, input: unknown, id: string): Promise<unknown> {
  if (place === undefined) throw cannotResume("an item");
  try {
    return await place.from(input, id);
  } catch (error) {
    if (error instanceof EdgeRefusal) throw error;
    throw cannotResume("that item");
  }
}

/** Returns how a stream is resumed after an item; `undefined`: the stream cannot be resumed. */
export function placeOf(contract: AnyContract, resume: EdgeResume | undefined, clock: Clock): StreamPlace | undefined {
  const { name, options: { resume: contractResume, items, idle } } = contract;
  const withinLimit = (text: string) => {
    if (text.length <= MAX_PLACE) return text;
    throw new CatgaError(
      "TOO_LARGE",
      `the place of an item has more than ${MAX_PLACE} characters: give the entry resume`,
    );
  };
  if (resume !== undefined) {
    return {
      id: (item) => withinLimit(encodeURIComponent(resume.id(item as never))),
      from: (input, id) => resume.from(input as never, decodedPart(id)),
    };
  }
  if (contractResume === undefined) return undefined;
  const textOf = (item: unknown) => withinLimit(encodeURIComponent(encodeValue(item, "item")));
  if (items === undefined) {
    return {
      id: textOf,
      from: (input, id) => contractResume(input as never, inputOf(decodedPart(id)) as never),
    };
  }
  const version = versionOf(contract);
  return {
    id: (item) => `${version}!${textOf(item)}`,
    async from(input, id) {
      const [, by, text = ""] = /^(?:([\w-]*)!)?(.*)$/s.exec(id) ?? [];
      const item = inputOf(decodedPart(text));
      // items of this version are not parsed again, as the schema may transform them
      if (by === version && version !== "") return contractResume(input as never, item as never);
      const validation = Promise.resolve(validate(items, item, "INVALID_MESSAGE", name));
      const parsed = await valueWithin(clock, idle ?? IDLE, validation);
      if (parsed === undefined) throw new EdgeRefusal(504, "TIMEOUT", "the schema of the items took too long");
      const { ok, value } = parsed;
      if (!ok) {
        throw cannotResume("an item of that version");
      }
      return contractResume(input as never, value as never);
    },
  };
}

/**
 * Returns a name for the version of a contract; empty if it is unknown, because a validator has no JSON Schema and the
 * contract no `version`.
 */
function versionOf(contract: AnyContract): string {
  const { version } = contract.options;
  return shapeOf(describeContract(contract)) ?? (version === undefined ? "" : `v${version}`);
}

function cannotResume(after: string): EdgeRefusal {
  return invalidRequest(`this stream cannot be resumed after ${after}: begin it anew, without Last-Event-ID`);
}

/** Maximum length of the text of an item's place, in characters; the text is sent in a header. */
const MAX_PLACE = 4_096;
