/** What `publisher.ts` prints before it ends. */
export interface PublisherLine {
  /** How many of its publishes were ok. */
  readonly ok: number;
}
