// The SDK's own loop: runTools.

import OpenAI from "openai";
import { described, model, question, read_article, report, search_articles, url } from "./encyclopedia.mjs";

const offered = (run, argument) => ({
  type: "function",
  function: {
    name: run.name,
    description: described[run.name],
    function: run,
    parse: JSON.parse,
    parameters: { type: "object", properties: { [argument]: { type: "string" } }, required: [argument] },
  },
});

const client = new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0 });
const runner = client.chat.completions.runTools(
  {
    model,
    messages: [{ role: "user", content: question }],
    tools: [offered(search_articles, "query"), offered(read_article, "article_id")],
    temperature: 0,
  },
  { maxChatCompletions: 10 },
);
report(await runner.finalContent());
