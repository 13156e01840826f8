// Vercel's ai with its provider for Anthropic: Messages, streamed.

import { createAnthropic } from "@ai-sdk/anthropic";
import { stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { described, model, question, read_article, report, search_articles, url } from "./encyclopedia.mjs";

const offered = (execute, argument) =>
  tool({ description: described[execute.name], inputSchema: z.object({ [argument]: z.string() }), execute });

const { text } = streamText({
  model: createAnthropic({ baseURL: url, apiKey: "none" })(model),
  prompt: question,
  tools: { search_articles: offered(search_articles, "query"), read_article: offered(read_article, "article_id") },
  stopWhen: stepCountIs(10),
  temperature: 0,
  maxOutputTokens: 300,
  maxRetries: 0,
});
report(await text);
