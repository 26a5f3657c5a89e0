/** Responses of server-sent events on a machine that may be busy. */

/** The events of a response without the comments, of which any number comes before an item that takes a while. */
export function withoutComments(text: string): string {
  return text.replace(/^:.*\n\n/gm, "");
}
