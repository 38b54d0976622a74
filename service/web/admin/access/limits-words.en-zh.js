// The words of limits.

const counted = (one, many) => (count, text) => (count === 1 ? one : `${text} ${many}`);

export const words = {
  en: {
    "limit.requests_per_min": counted("1 request a minute", "requests a minute"),
    "limit.images_per_min": counted("1 image a minute", "images a minute"),
    "limit.images_per_day": counted("1 image a day", "images a day"),
    "limit.images_in_flight": counted("1 image at a time", "images at a time"),
    "limit.budget": (amount) => `${amount} a month`,
    "limit.max_n": (count) => (count === 1 ? "1 image an order" : `at most ${count} images an order`),
    "limit.max_size": (size) => `images up to ${size}`,
    "limit.models": (names) => `only ${names.join(", ")}`,
    "limit.noCache": "without the cache",
    "limit.scope.user": "a cache for each user",
    "limit.scope.team": "one cache for the team",
    "limit.share": "equal orders at once share their images",
    "limit.none": "no limits",
  },
  zh: {
    "limit.requests_per_min": (count, text) => `每分钟 ${text} 次请求`,
    "limit.images_per_min": (count, text) => `每分钟 ${text} 张图片`,
    "limit.images_per_day": (count, text) => `每天 ${text} 张图片`,
    "limit.images_in_flight": (count, text) => `同时最多 ${text} 张图片`,
    "limit.budget": (amount) => `每月 ${amount}`,
    "limit.max_n": (count) => `每次最多 ${count} 张`,
    "limit.max_size": (size) => `尺寸不超过 ${size}`,
    "limit.models": (names) => `只能用 ${names.join("、")}`,
    "limit.noCache": "不使用缓存",
    "limit.scope.user": "每位用户单独缓存",
    "limit.scope.team": "全团队共用缓存",
    "limit.share": "同时提交的相同请求共用图片",
    "limit.none": "没有限制",
  },
};
