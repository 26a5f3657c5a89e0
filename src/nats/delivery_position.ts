/**
 * Parses the position of a delivered message from its reply subject:
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<ns since 1970>.<pending>`, or the
 * same with domain and account behind `ACK`, and perhaps a token at the end. Parsed by hand, without allocation,
 * because a reader parses one for each message.
 */

const DOT = 46;
const DIGIT_0 = 48;
const DIGIT_9 = 57;
/** Maximum number of digits of a sequence that is a safe integer; sequences of buckets have 16. */
const DIGITS = 16;

/** Position of the message whose reply subject was parsed last. */
export class DeliveryPosition {
  /** Sequence of the message in its stream. */
  sequence = 0;
  /** Number of messages that the consumer has delivered, including this one. */
  delivery = 0;
  /** Time at which the message was stored, in ms since 1970. */
  time = 0;
  /** Number of messages that the consumer must still deliver. */
  pending = 0;
  readonly #middle: string;
  #prefix = "";
  #at = 0;

  constructor(stream: string, consumer: string) {
    this.#middle = `.${stream}.${consumer}.`;
  }

  /** Parses a reply subject. Returns false if the subject is of another kind, or of another consumer. */
  parse(reply: string): boolean {
    if (this.#prefix === "" || !reply.startsWith(this.#prefix)) {
      const middle = reply.indexOf(this.#middle);
      if (middle < 0 || !reply.startsWith("$JS.ACK.")) return false;
      this.#prefix = reply.slice(0, middle + this.#middle.length);
    }
    this.#at = this.#prefix.length;
    if (this.#number(reply) < 0) return false;
    this.sequence = this.#number(reply);
    this.delivery = this.#number(reply);
    const start = this.#at;
    const end = reply.indexOf(".", start);
    // the last six digits of the time are the ns within a ms, and are left out
    if (end - start < 7 || end - start > DIGITS + 6) return false;
    this.time = 0;
    for (let i = start; i < end - 6; i++) {
      const digit = reply.charCodeAt(i);
      if (digit < DIGIT_0 || digit > DIGIT_9) return false;
      this.time = this.time * 10 + (digit - DIGIT_0);
    }
    this.#at = end + 1;
    this.pending = this.#number(reply);
    return this.sequence > 0 && this.delivery > 0 && this.pending >= 0;
  }

  /** Parses the next token of the subject as a number; -1: it is not a number. */
  #number(reply: string): number {
    let value = 0;
    let i = this.#at;
    for (; i < reply.length; i++) {
      const digit = reply.charCodeAt(i);
      if (digit === DOT) break;
      if (digit < DIGIT_0 || digit > DIGIT_9) return -1;
      value = value * 10 + (digit - DIGIT_0);
    }
    const digits = i - this.#at;
    this.#at = i + 1;
    return digits > 0 && digits <= DIGITS ? value : -1;
  }
}
