// The two tools of the clients' loops, and what a client's script prints: the calls that it made, and the answer.

export const url = process.argv[2];
export const model = "any";
export const question = "Search the encyclopedia for the Rialto Bridge and read the article: when was it finished?";

const calls = [];

export const described = {
  search_articles: "Search an encyclopedia. Returns the ids and titles of articles.",
  read_article: "Read an article by its id.",
};

export function search_articles({ query }) {
  calls.push("search_articles");
  const isFound = query.toLowerCase().includes("rialto");
  return JSON.stringify(isFound ? [{ article_id: "rialto-bridge", title: "Rialto Bridge" }] : []);
}

export function read_article({ article_id }) {
  calls.push("read_article");
  if (article_id !== "rialto-bridge") return JSON.stringify({ error: `there is no article '${article_id}'` });
  return "The Rialto Bridge is the oldest bridge over the Grand Canal in Venice. It was finished in 1591.";
}

export const report = (answer) => console.log(JSON.stringify({ calls, answer }));
