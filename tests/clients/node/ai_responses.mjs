// Vercel's ai with its provider for OpenAI, by its default: Responses.

import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, tool } from "ai";
import { z } from "zod";
import { described, model, question, read_article, report, search_articles, url } from "./encyclopedia.mjs";

const offered = (execute, argument) =>
  tool({ description: described[execute.name], inputSchema: z.object({ [argument]: z.string() }), execute });

const { text } = await generateText({
  model: createOpenAI({ baseURL: url, apiKey: "none" })(model),
  prompt: question,
  tools: { search_articles: offered(search_articles, "query"), read_article: offered(read_article, "article_id") },
  stopWhen: stepCountIs(10),
  temperature: 0,
  maxRetries: 0,
});
report(text);
