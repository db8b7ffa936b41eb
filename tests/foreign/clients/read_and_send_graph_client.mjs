// @microsoft/microsoft-graph-client reads and sends; prints what it saw as one line of JSON.

import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.NODE_MODULES, "x.js"));
const { Client, PageIterator, LargeFileUploadTask, FileUpload } = require("@microsoft/microsoft-graph-client");

const origin = `https://127.0.0.1:${process.env.PORT}`;
const user = `/users/${process.env.MAILBOX}`;

async function accessToken() {
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: process.env.CLIENT_ID,
    client_secret: process.env.CLIENT_SECRET,
    scope: "https://graph.microsoft.com/.default",
  });
  const answer = await fetch(`${origin}/${process.env.TENANT_ID}/oauth2/v2.0/token`, { method: "POST", body: form });
  return (await answer.json()).access_token;
}

const token = await accessToken();
// The built-in fetch knows no proxy: the client is given the door itself as one of its hosts.
const client = Client.init({
  baseUrl: `${origin}/`,
  customHosts: new Set(["127.0.0.1"]),
  authProvider: (done) => done(null, token),
});

async function all(first) {
  const items = [];
  const pages = new PageIterator(client, first, (item) => Boolean(items.push(item)));
  await pages.iterate();
  return [items, pages.getDeltaLink()];
}

const listed = await client.api(`${user}/mailFolders/inbox/messages`).select("id,subject").top(10).get();
const [messages] = await all(listed);
const [told, deltaLink] = await all(
  await client.api(`${user}/mailFolders/inbox/messages/delta`).select("subject").get(),
);
const files = await client.api(`${user}/messages/${messages[0].id}/attachments`).select("id,name,size,isInline").get();
const stream = await client.api(`${user}/messages/${messages[0].id}/attachments/${files.value[0].id}/$value`).getStream();
const content = await new Response(stream).text();
const found = await client.api(`${user}/messages`).search('"from:cy@client.example subject:\\"Mail 3\\""').select("subject").get();
const unread = await client.api(`${user}/messages/$count`).filter("isRead eq false").get();

const recipients = (address) => [{ emailAddress: { address } }];
await client.api(`${user}/sendMail`).post({
  message: {
    subject: "From the Graph client",
    body: { contentType: "Text", content: "Hello" },
    toRecipients: recipients("bob@cedar.example"),
    bccRecipients: recipients("secret@client.example"),
  },
});
const draft = await client.api(`${user}/messages`).header("Prefer", 'IdType="ImmutableId"').post({
  subject: "Draft with a large file",
  toRecipients: recipients("cy@client.example"),
});
const large = Buffer.alloc(3500000, "x");
const session = await LargeFileUploadTask.createUploadSession(
  client,
  `${origin}/v1.0${user}/messages/${draft.id}/attachments/createUploadSession`,
  { AttachmentItem: { attachmentType: "file", name: "large.bin", size: large.length } },
);
const task = new LargeFileUploadTask(client, new FileUpload(large, "large.bin", large.length), session, {
  rangeSize: 1310720,
});
const uploaded = await task.upload();
await client.api(`${user}/messages/${draft.id}/send`).post({});
const sent = await client.api(`${user}/messages/${draft.id}`).header("Prefer", 'IdType="ImmutableId"').get();
await client.api(`${user}/messages/${messages[1].id}`).patch({ isRead: true, categories: ["Seen"] });
const moved = await client.api(`${user}/messages/${messages[2].id}/move`).post({ destinationId: "archive" });
await client.api(`${user}/messages/${messages[3].id}`).delete();
const later = await client.api(deltaLink).get();
let refusal = "";
try {
  await client.api(`${user}/messages/${messages[3].id}`).get();
} catch (error) {
  refusal = `${error.statusCode} ${error.code}`;
}
const batch = await client.api("/$batch").post({
  requests: [
    { id: "1", method: "GET", url: `${user}/messages?$top=1` },
    { id: "2", method: "GET", url: `${user}/mailFolders/nonsense` },
  ],
});

console.log(
  JSON.stringify({
    subjects: messages.map((one) => one.subject),
    told: told.map((one) => one.subject),
    files: files.value.map((one) => one.name),
    content,
    found: found.value.map((one) => one.subject),
    unread: Number(unread),
    uploaded: Boolean(uploaded),
    sent: [sent.subject, sent.isDraft, sent.hasAttachments],
    moved: moved.subject,
    later: later.value.map((one) => (one["@removed"] ? "-" : one.subject)),
    refusal,
    batch: batch.responses.map((one) => one.status),
  }),
);
