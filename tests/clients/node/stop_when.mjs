// Vercel's ai: generateText with stopWhen.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, tool } from "ai";
import { z } from "zod";
import { described, model, question, read_article, report, search_articles, url } from "./encyclopedia.mjs";

const offered = (execute, argument) =>
  tool({ description: described[execute.name], inputSchema: z.object({ [argument]: z.string() }), execute });

const { text } = await generateText({
  model: createOpenAICompatible({ name: "functiongate", baseURL: url })(model),
  prompt: question,
  tools: { search_articles: offered(search_articles, "query"), read_article: offered(read_article, "article_id") },
  stopWhen: stepCountIs(10),
  temperature: 0,
  maxRetries: 0,
});
report(text);
