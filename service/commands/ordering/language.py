"""Speak the language of the terminal: English, or simplified Chinese.

How to add one: write the text in English where it is printed, as `say("…")`, and its row in `CHINESE`.
`tests/test_ordering_language.py` finds a missing row. Messages of the gateway stay English; the frequent ones get an
introduction in Chinese (`_INTRODUCTIONS`), and frequent reasons of the system are translated (`_REASONS`).
"""

from dataclasses import dataclass

CHINESE = {
    "1 image": "1 张图片",
    "{n} images": "{n} 张图片",
    "{done} of {images}": "已完成 {done}，共 {images}",
    "{images} in {seconds} s, {price}": "{images}，用时 {seconds} 秒，{price}",
    " ({notes})": "（{notes}）",
    ", ": "，",
    "{n} from the cache": "{n} 张来自缓存",
    "{n} shared with an equal order": "{n} 张与相同的请求共用",
    "free": "免费",
    "price unknown": "价格未知",
    "test images, nothing charged": "测试图片，不计费",
    "error: ": "错误：",
    "{message} (request {request_id})": "{message}（请求 {request_id}）",
    "without an id": "没有编号",
    "GATEWAY_KEY is not an API key: it has characters that no key contains.": (
        "GATEWAY_KEY 不是 API 密钥：其中有密钥不含的字符。"
    ),
    "No gateway answers at {url}: {reason}. Start one with `image-gateway serve`.": (
        "{url} 没有网关应答：{reason}。请用 `image-gateway serve` 启动网关。"
    ),
    "There is no gateway at {url}: the answer has status {status}, {kind}. Set GATEWAY_URL to the address of the gateway.": (
        "{url} 处没有网关：答复的状态码为 {status}，类型为 {kind}。请把 GATEWAY_URL 设为网关的地址。"
    ),
    "{url} did not answer for {seconds} seconds.": "{url} 在 {seconds} 秒内没有应答。",
    "{url} closed the connection after {done} of {images}.": "{url} 断开了连接：已收到 {done} 张，应有 {images}。",
    "Interrupted after {done} of {images}.": "已中断：已收到 {done} 张，应有 {images}。",
    " The gateway may still make what is missing: repeat the order to get it from the cache.": (
        "网关可能仍会生成其余图片：重复此命令即可从缓存取得。"
    ),
    " The gateway may still make what is missing: repeat the order without --fresh to get it from the cache.": (
        "网关可能仍会生成其余图片：去掉 --fresh 重复此命令，即可从缓存取得。"
    ),
    " Repeat the order to pay only for the missing images: the finished ones come from the cache.": (
        "重复此命令只需为缺失的图片付费：已完成的图片来自缓存。"
    ),
    "{path}: {reason}": "{path}：{reason}",
    " The image is still behind this link: {url}": "图片仍可从此链接取得：{url}",
    "An order takes 1 to {most} images, not {given}.": "一次可提交 1 到 {most} 张图片，不能是 {given} 张。",
}

_INTRODUCTIONS = {
    "invalid_api_key": "密钥无效或缺失：",
    "insufficient_permissions": "没有权限：",
    "rate_limit_exceeded": "请求过于频繁，请稍后再试：",
    "insufficient_quota": "限额已用完：",
    "model_not_found": "模型不存在或不允许使用：",
    "model_unpriced": "模型价格未知，因此不接受：",
    "invalid_value": "参数有误：",
    "invalid_size": "尺寸有误：",
    "invalid_type": "参数有误：",
    "unknown_parameter": "参数有误：",
    "missing_required_parameter": "缺少参数：",
    "string_above_max_length": "提示词过长：",
    "integer_above_max_value": "参数有误：",
    "integer_below_min_value": "参数有误：",
    "moderation_blocked": "内容审核未通过：",
    "content_policy_violation": "内容审核未通过：",
    "request_too_large": "文件过大：",
    "overloaded": "网关繁忙，请稍后再试：",
    "draining": "网关正在重启，请稍后再试：",
    "partial_failure": "部分图片失败：",
    "deadline_exceeded": "未能按时完成：",
    "cut_off": "网关中途停止：",
    "state_unavailable": "网关暂时不可用：",
    "store_unavailable": "图片存储暂时不可用：",
    "upstream_rate_limited": "服务商限流，请稍后再试：",
    "upstream_overloaded": "服务商繁忙，请稍后再试：",
    "upstream_unreachable": "无法连接服务商：",
    "upstream_timeout": "服务商超时：",
    "backend_misconfigured": "网关的服务商配置有误，请联系管理员：",
}

_REASONS = {
    "No such file or directory": "没有这个文件或目录",
    "Permission denied": "没有权限",
    "Is a directory": "这是一个目录",
    "Not a directory": "不是目录",
    "File exists": "已有同名文件",
    "File name too long": "文件名过长",
    "No space left on device": "磁盘空间不足",
    "Read-only file system": "文件系统是只读的",
    "All connection attempts failed": "连接失败",
    "ConnectTimeout": "连接超时",
    "[Errno -2] Name or service not known": "找不到这个主机名",
    "[Errno -3] Temporary failure in name resolution": "暂时无法解析主机名",
    "[Errno -5] No address associated with hostname": "这个主机名没有地址",
}
"""Reasons of the system and of connections, as Python has them in any locale; rare ones stay English."""


@dataclass(frozen=True, slots=True)
class Words:
    """Says texts in English, or in Chinese if *is_chinese*."""

    is_chinese: bool = False

    def __call__(self, text: str, **values: object) -> str:
        """Return *text* with *values* in its places."""
        return (CHINESE[text] if self.is_chinese else text).format(**values)

    def count(self, n: int) -> str:
        """Return the number of images, in words."""
        return self("1 image") if n == 1 else self("{n} images", n=n)

    def reason(self, english: str) -> str:
        """Return a reason of the system; a rare one in English."""
        return _REASONS.get(english, english) if self.is_chinese else english

    def introduce(self, code: str | None) -> str:
        """Return the introduction to a message of the gateway with *code*; empty in English."""
        return _INTRODUCTIONS.get(code or "", "") if self.is_chinese else ""


def words_of(language: str) -> Words:
    """Return the words of *language*, a locale such as `zh_CN.UTF-8`."""
    return Words(is_chinese=language.lower().startswith("zh"))
