/**
 * Payloads that are larger than a message of NATS: the object store of NATS stores them, messages carry their names.
 *
 *   NATS_URL=nats://localhost:4222 deno run -A examples/large/photos.ts
 *   curl --upload-file photo.jpg http://localhost:8080/photos/1
 */
import process from "node:process";
import { connect } from "@nats-io/transport-node";
import { Objm } from "@nats-io/obj";
import { catga, event } from "@catga/catga";
import { respond } from "@catga/catga/http";
import { serve } from "../shop/http_server.ts";

const DAY = 86_400_000;
const PhotoAdded = event<{ photo: string; bytes: number }>("PhotoAdded", { durable: { keep: 7 * DAY } });

const connection = await connect({ servers: process.env.NATS_URL ?? "nats://localhost:4222" });
// objects outlive the events that name them; the ttl is in ns
const photos = await new Objm(connection).create("photos", { ttl: 8 * DAY * 1_000_000 });

const added = PhotoAdded.on(async ({ photo }) => {
  const found = await photos.get(photo);
  if (found === null) return console.log(`${photo} was deleted`);
  let bytes = 0;
  for await (const chunk of found.data) bytes += chunk.length;
  const broken = await found.error; // the digest is checked while the object is read
  if (broken) throw broken;
  console.log(`${photo} has ${bytes} bytes`);
}, { from: "start" });

const app = await catga({ nats: connection, service: "photos", handlers: added });

/** Stores the object first, then publishes the event. A repeated upload stores and publishes each once. */
async function add(photo: string, body: ReadableStream<Uint8Array>) {
  const { size } = await photos.put({ name: photo }, body);
  return respond(await app.publish(PhotoAdded, { photo, bytes: size }, { id: `${photo}-${size}` }), { status: 201 });
}

const server = serve(
  async (request) => {
    const photo = /^\/photos\/([\w-]{1,64})$/.exec(new URL(request.url).pathname)?.[1];
    if (request.method !== "PUT" || photo === undefined || request.body === null) {
      return new Response(null, { status: 404 });
    }
    return await add(photo, request.body);
  },
  "127.0.0.1",
  Number(process.env.PORT ?? "8080"),
);
console.log(`http://127.0.0.1:${server.port}`);
