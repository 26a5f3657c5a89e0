#!/usr/bin/env bash
# A NestJS microservice client over NATS never learns that the worker which has its request was killed: `send` neither emits nor fails.
# Expected: an error after some seconds, as for a message that nobody handles
# Seen: 20 s after the kill the request is still open; one to a pattern without a handler fails at once
# In version: @nestjs/microservices 12.1.1, @nats-io/transport-node 3.4.0, nats-server 2.15.1, Node 20
# Catga: src/cluster/wire/watchdog.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
mkdir -p apt/parts apt/lists/partial apt/archives/partial
sed '/^$/q; s/^Suites:.*/Suites: forky/' /etc/apt/sources.list.d/debian.sources >apt/forky.sources
apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$PWD/apt/forky.sources" -o Dir::Etc::sourceparts="$PWD/apt/parts" \
    -o Dir::State::Lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt" -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}
{ apt update && apt download nats-server=2.15.1-1 && dpkg -x nats-server_*.deb .; } || exit 2
echo '{}' >package.json
npm install --silent --no-audit --no-fund @nestjs/core@12.1.1 @nestjs/common@12.1.1 @nestjs/microservices@12.1.1 rxjs@7.8.2 reflect-metadata@0.2.2 @nats-io/transport-node@3.4.0 || exit 2
port=$(node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })')
export NATS_URL=nats://127.0.0.1:$port
usr/sbin/nats-server -js -sd "$dir/js" -a 127.0.0.1 -p "$port" 2>server.log &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import "reflect-metadata";
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Controller, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { ClientProxyFactory, MessagePattern, Transport } from "@nestjs/microservices";
import { firstValueFrom } from "rxjs";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const transport = { transport: Transport.NATS, options: { servers: [process.env.NATS_URL] } };
if (process.argv[2] === "worker") {
  class Shop {
    pack() {
      console.log("packing");
      return new Promise(() => setTimeout(() => {}, 60_000));
    }
    look() {
      return "open";
    }
  }
  Controller()(Shop);
  for (const name of ["pack", "look"]) MessagePattern(name)(Shop.prototype, name, Object.getOwnPropertyDescriptor(Shop.prototype, name));
  class App {}
  Module({ controllers: [Shop] })(App);
  await (await NestFactory.createMicroservice(App, { ...transport, logger: false })).listen();
} else {
  const worker = spawn(process.execPath, ["probe.mjs", "worker"], { stdio: ["ignore", "pipe", "inherit"] });
  appendFileSync("pids", `${worker.pid}\n`);
  const client = ClientProxyFactory.create(transport);
  await client.connect();
  const outcome = (pattern) => firstValueFrom(client.send(pattern, {})).then((value) => `value ${value}`, (error) => `error ${error?.message ?? error}`);
  while (await outcome("look") !== "value open") await sleep(100);
  const nobody = await Promise.race([outcome("nobody"), sleep(10_000, "still open")]);
  let state = "still open";
  outcome("pack").then((ended) => state = ended);
  await new Promise((resolve) => worker.stdout.once("data", resolve));
  worker.kill("SIGKILL");
  await sleep(20_000);
  console.log(`saw: a pattern without a handler: ${nobody}; 20 s after the worker was killed: ${state}`);
  process.exit(nobody.startsWith("error") && state === "still open" ? 0 : 1);
}
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nestjs/core@12.1.1 @nestjs/common@12.1.1 @nestjs/microservices@12.1.1 rxjs@7.8.2 reflect-metadata@0.2.2 @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
