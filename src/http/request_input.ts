/** The input of a call: of the body of a request, or of its URL. */
import { decode, decodeText, isTagged, joinBytes } from "../data/encoding.ts";
import { type Clock, systemClock } from "../ports/clock.ts";
import { EdgeRefusal } from "./refusal.ts";

/** Media type of values with tags, which Catga's client sends and takes: what JSON lacks arrives as what it was. */
export const VALUES = "application/vnd.catga+json";

/** True if a request wants values with tags, not plain JSON. */
export function wantsValues(request: Request): boolean {
  return request.headers.get("accept")?.includes(VALUES) ?? false;
}

/** Why a body of this media type is not read; `undefined`: it is JSON, or there is none. */
export function refusedMediaType(request: Request): EdgeRefusal | undefined {
  const type = request.headers.get("content-type");
  if (type === null && (request.body === null || request.headers.get("content-length") === "0")) return undefined;
  const [media] = (type ?? "").split(";", 1);
  if (["application/json", VALUES].includes(media.trim().toLowerCase())) return undefined;
  return new EdgeRefusal(415, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/json");
}

/** The value of a text of a URL or of a body; a refusal for one that is neither JSON nor a value with tags. */
export function inputOf(text: string): { readonly value: unknown } | EdgeRefusal {
  if (text === "") return { value: undefined };
  try {
    return { value: isTagged(text) ? decodeText(text) : JSON.parse(text) };
  } catch {
    return new EdgeRefusal(400, "INVALID_MESSAGE", "the input is not valid JSON");
  }
}

/** Reads the body of a request, `most` bytes at most, within `limit` ms. */
export async function bodyText(request: Request, most: number, limit: number, clock: Clock = systemClock) {
  const tooLarge = new EdgeRefusal(413, "TOO_LARGE", `the body must have ${most} bytes at most`);
  if (Number(request.headers.get("content-length")) > most) return tooLarge;
  if (request.body === null) return "";
  const reader = request.body.getReader();
  const late = Promise.withResolvers<"late">();
  const timer = clock.after(limit, () => late.resolve("late"));
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const read = await Promise.race([reader.read(), late.promise]);
      if (read === "late") {
        return new EdgeRefusal(408, "REQUEST_TIMEOUT", `the body did not come within ${limit} ms`);
      }
      if (read.done) break;
      size += read.value.length;
      if (size > most) return tooLarge;
      chunks.push(read.value);
    }
    return decode(joinBytes(chunks, size));
  } catch {
    return new EdgeRefusal(400, "INVALID_MESSAGE", "the body could not be read as UTF-8");
  } finally {
    timer.cancel();
    reader.cancel().catch(() => {}); // the sender has left, or is not wanted any more
  }
}
