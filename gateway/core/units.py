"""The quantities we know: canonical unit, what can physically be, resolution, and how people call them.

The unit rides at the end of a quantity's name. The range is wide on purpose: it only tells a broken
sensor from a bad situation (a burning slot reads high before it dies, and must not be "out of range").
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from math import floor, log10


@dataclass(frozen=True, slots=True)
class Quantity:
    """`low`..`high` is believed, anything else is refused with code `range`."""

    name: str
    unit: str
    low: float
    high: float
    resolution: float
    says: str  # zh-CN, as it stands in a message
    english: str

    @property
    def is_event(self) -> bool:
        """Either there or not: what may begin and end (a confidence is neither, nor is a slot's state)."""
        return (self.unit, self.low, self.high, self.resolution) == ("1", 0, 1, 1)


def _table(*rows: tuple[str, str, float, float, float, str, str]) -> dict[str, Quantity]:
    return {row[0]: Quantity(*row) for row in rows}


QUANTITIES = _table(
    # structures (domain.md 3.6); a tilt is relative to installation until a baseline is given
    ("tilt_x_deg", "deg", -90, 90, 0.01, "倾角X", "tilt X"),
    ("tilt_y_deg", "deg", -90, 90, 0.01, "倾角Y", "tilt Y"),
    ("tilt_z_deg", "deg", -90, 90, 0.01, "倾角Z", "tilt Z"),
    ("lean_mm_per_m", "mm/m", -100, 100, 0.01, "倾斜率", "lean"),
    ("crack_mm", "mm", -100, 100, 0.01, "裂缝宽度", "crack opening"),
    ("settlement_mm", "mm", -500, 500, 0.1, "沉降", "settlement"),
    ("strain_ue", "ue", -5000, 5000, 0.1, "应变", "strain"),
    ("ppv_mm_s", "mm/s", 0, 500, 0.01, "振动速度峰值", "peak particle velocity"),
    ("dominant_hz", "Hz", 0, 300, 0.1, "主频", "dominant frequency"),
    ("duration_s", "s", 0, 86_400, 0.01, "持续时间", "duration"),
    ("level_mm", "mm", -1_000, 100_000, 1, "液位", "liquid level"),
    ("velocity_rms_mm_s", "mm/s", 0, 500, 0.01, "振动速度有效值", "velocity RMS"),
    ("acceleration_rms_m_s2", "m/s2", 0, 500, 0.001, "振动加速度有效值", "acceleration RMS"),
    ("acceleration_peak_m_s2", "m/s2", 0, 500, 0.001, "振动加速度峰值", "acceleration peak"),
    # worked out by the gateway (core.derived); a trend is signed, and so is what is left without temperature
    (
        "tilt_x_compensated_mm_m",
        "mm/m",
        -2000,
        2000,
        0.01,
        "扣除温度后X向倾斜",
        "tilt X less temperature",
    ),
    (
        "tilt_y_compensated_mm_m",
        "mm/m",
        -2000,
        2000,
        0.01,
        "扣除温度后Y向倾斜",
        "tilt Y less temperature",
    ),
    ("crack_compensated_mm", "mm", -100, 100, 0.01, "扣除温度后裂缝宽度", "crack less temperature"),
    ("tilt_x_trend_mm_m_day", "mm/m/d", -100, 100, 0.0001, "X向倾斜趋势", "tilt X trend"),
    ("tilt_y_trend_mm_m_day", "mm/m/d", -100, 100, 0.0001, "Y向倾斜趋势", "tilt Y trend"),
    ("crack_trend_mm_day", "mm/d", -100, 100, 0.001, "裂缝变化趋势", "crack trend"),
    ("settlement_trend_mm_day", "mm/d", -500, 500, 0.01, "沉降趋势", "settlement trend"),
    ("settlement_difference_mm", "mm", -1000, 1000, 0.1, "相邻测点沉降差", "settlement difference"),
    ("angular_distortion_mm_m", "mm/m", -1000, 1000, 0.01, "相邻测点倾斜", "angular distortion"),
    ("crest_factor", "x", 0, 200, 0.1, "峰值因数", "crest factor"),
    # surroundings and device health
    ("temperature_c", "C", -60, 400, 0.1, "温度", "temperature"),
    ("humidity_pct", "%", 0, 100, 0.5, "湿度", "humidity"),
    ("battery_v", "V", 0, 60, 0.01, "电池电压", "battery voltage"),
    ("battery_pct", "%", 0, 100, 1, "电池电量", "battery"),
    ("rssi_dbm", "dBm", -200, 30, 1, "信号强度", "signal strength"),
    ("snr_db", "dB", -60, 60, 0.1, "信噪比", "signal to noise"),
    ("distance_mm", "mm", 0, 20000, 1, "距离", "distance"),
    ("fill_pct", "%", 0, 100, 1, "满溢度", "fill level"),
    ("pressure_mpa", "MPa", 0, 10, 0.01, "压力", "pressure"),
    ("nh3_ppm", "ppm", 0, 10000, 0.1, "氨气", "ammonia"),
    ("h2s_ppm", "ppm", 0, 10000, 0.01, "硫化氢", "hydrogen sulphide"),
    ("expiry_days", "d", -3_650, 36_500, 1, "有效期剩余天数", "days until expiry"),
    ("open_s", "s", 0, 864_000, 1, "开启时长", "time open"),
    # charging
    ("voltage_v", "V", 0, 1_000, 0.1, "电压", "voltage"),
    ("current_a", "A", -500, 500, 0.01, "电流", "current"),
    ("power_w", "W", 0, 500_000, 1, "功率", "power"),
    ("energy_kwh", "kWh", 0, 100_000_000, 0.01, "用电量", "energy"),
    ("leakage_ma", "mA", 0, 100_000, 0.1, "漏电流", "leakage current"),
    # charging cabinets
    ("slot_voltage_v", "V", 0, 200, 0.1, "仓电压", "slot voltage"),
    ("slot_current_a", "A", -100, 100, 0.1, "仓电流", "slot current"),
    ("slot_temperature_c", "C", -60, 400, 0.1, "仓温度", "slot temperature"),
    ("slot_soc_pct", "%", 0, 100, 1, "仓电量", "slot state of charge"),
    ("slot_state", "1", 0, 15, 1, "仓状态", "slot state"),
    ("slot_door_open", "1", 0, 1, 1, "仓门打开", "slot door open"),
    # events and states: 0 or 1
    ("smoke", "1", 0, 1, 1, "烟雾", "smoke"),
    ("suppression_fired", "1", 0, 1, 1, "灭火装置启动", "suppression fired"),
    ("charging", "1", 0, 1, 1, "充电中", "charging"),
    ("tampered", "1", 0, 1, 1, "被拆动", "tampered with"),
    ("tipped", "1", 0, 1, 1, "桶倾倒", "bin tipped over"),
    ("forced_open", "1", 0, 1, 1, "门被强行打开", "door forced open"),
    ("door_open", "1", 0, 1, 1, "门打开", "door open"),
    ("lift_door_held", "1", 0, 1, 1, "电梯门被保持", "lift door held"),
    ("ebike_present", "1", 0, 1, 1, "电动车在轿厢", "e-bike in the lift"),
    ("bag_on_floor", "1", 0, 1, 1, "小包垃圾落地", "bag on the floor"),
    ("overflow", "1", 0, 1, 1, "垃圾满溢", "overflow"),
    ("exposed_waste", "1", 0, 1, 1, "暴露垃圾", "exposed waste"),
    ("video_lost", "1", 0, 1, 1, "视频丢失", "video lost"),
    ("video_blocked", "1", 0, 1, 1, "镜头被遮挡", "lens covered"),
    ("online", "1", 0, 1, 1, "在线", "online"),
    # what people say: no sensor measures it
    ("reported", "1", 0, 1, 1, "居民反映", "reported by a person"),
    ("works_nearby", "1", 0, 1, 1, "周边施工", "works nearby"),
    ("confidence", "1", 0, 1, 0.01, "置信度", "confidence"),
    ("frames_received", "frames", 0, 1e9, 1, "收到帧数", "frames received"),
    ("sensor_stuck", "1", 0, 1, 1, "传感器读数不动", "sensor stuck"),  # made by core.doubts, never sent
    ("load_kg", "kg", 0, 10000, 1, "载重", "load"),
    # the gateway's own state (gateway.selfcheck): one report every half minute
    ("broker_down_s", "s", 0, 1e9, 1, "消息代理断开时长", "broker link down for"),
    ("database_behind_s", "s", 0, 1e9, 1, "数据库落后时长", "database behind by"),
    ("archive_behind_s", "s", 0, 1e9, 1, "归档落后时长", "archive behind by"),
    ("disk_free_pct", "%", 0, 100, 0.1, "磁盘剩余", "disk free"),
    ("quarantined_per_hour", "1/h", 0, 1e9, 1, "一小时拒收报文数", "payloads refused in an hour"),
    ("notifications_waiting_s", "s", 0, 1e9, 1, "最久的未发通知等待时长", "oldest unsent message waits for"),
    ("notifications_lost", "cases", 0, 1e6, 1, "无人收到通知的事件数", "cases that nobody was told of"),
    ("outward_behind_s", "s", 0, 1e9, 1, "外部系统落后时长", "system outside behind by"),
    ("outward_difference", "cases", 0, 1e6, 1, "平台与本机不一致的案件数", "cases a platform has otherwise"),
    ("channels_failing", "ways", 0, 1e3, 1, "接连失败的通知渠道数", "ways to people that fail"),
    ("queue_full_s", "s", 0, 1e9, 1, "停止确认消息时长", "no message acknowledged for"),
    ("rules_disabled", "rules", 0, 1e6, 1, "停用的规则数", "rules disabled"),
    ("clock_step_s", "s", -1e10, 1e10, 0.001, "时钟跳变", "step of the clock"),
    ("certificate_days", "d", -36_500, 36_500, 1, "证书剩余天数", "days until a certificate ends"),
    ("calibration_overdue_d", "d", 0, 36_500, 1, "校准过期天数", "calibration overdue by"),
    ("intrusions_per_hour", "1/h", 0, 1e9, 1, "一小时可疑冒充次数", "forgeries suspected in an hour"),
    ("restarts_per_hour", "1/h", 0, 1e6, 1, "一小时重启次数", "restarts in an hour"),
)

# What tells of another value of its reading, and of no other one: the frequency of a shock is not that of the
# next, and how sure a camera was of one event says nothing of another. Each with those that it is said of.
BESIDE = {
    "dominant_hz": ("ppv_mm_s",),
    "confidence": tuple(name for name, one in QUANTITIES.items() if one.is_event),
}

# (device's unit, ours) -> (scale, offset): canonical = raw * scale + offset. Anything else is a mistake.
CONVERSIONS: dict[tuple[str, str], tuple[float, float]] = {
    ("mrad", "deg"): (0.0572957795130823, 0.0),
    ("mm/m", "deg"): (0.0572957795130823, 0.0),  # small angles: 1 mm/m = 1 mrad
    ("F", "C"): (5 / 9, -160 / 9),
    ("K", "C"): (1.0, -273.15),
    ("m", "mm"): (1000.0, 0.0),
    ("cm", "mm"): (10.0, 0.0),
    ("um", "mm"): (0.001, 0.0),
    ("mV", "V"): (0.001, 0.0),
    ("mA", "A"): (0.001, 0.0),
    ("A", "mA"): (1000.0, 0.0),
    ("kW", "W"): (1000.0, 0.0),
    ("Wh", "kWh"): (0.001, 0.0),
    ("ms", "s"): (0.001, 0.0),
    ("min", "s"): (60.0, 0.0),
    ("m/s", "mm/s"): (1000.0, 0.0),
    ("bar", "MPa"): (0.1, 0.0),
    ("kPa", "MPa"): (0.001, 0.0),
    ("g", "kg"): (0.001, 0.0),
}


def conversion(unit: str, quantity: Quantity) -> tuple[float, float]:
    """(scale, offset) from a device's unit to ours; ValueError when they measure different things."""
    if unit in ("", quantity.unit):
        return 1.0, 0.0
    try:
        return CONVERSIONS[unit, quantity.unit]
    except KeyError:
        raise ValueError(f"{unit} is no unit of {quantity.name} ({quantity.unit})") from None


def factor(unit: str, wanted: str) -> float:
    """What a difference in one unit is in another; ValueError when they measure different things."""
    if unit == wanted:
        return 1.0
    if (unit, wanted) in CONVERSIONS:
        return CONVERSIONS[unit, wanted][0]
    if (wanted, unit) in CONVERSIONS:
        return 1 / CONVERSIONS[wanted, unit][0]
    raise ValueError(f"{unit} is no {wanted}")


# ---------------------------------------------------------------- arithmetic with units

Dimension = tuple[tuple[str, int], ...]  # (symbol, power) ascending; () of a pure number
# Symbols that are others: nothing is converted, so that mm and m stay two things until one divides the other.
MADE_OF = {"1": "", "x": "", "Hz": "/s", "W": "V*A"}


@cache
def dimension(unit: str) -> Dimension:
    """What a unit is made of: mm/m/d is (d, -1), (m, -1), (mm, 1)."""
    powers: Counter[str] = Counter()
    for place, factors in enumerate(MADE_OF.get(unit, unit).split("/")):
        for one in filter(None, factors.split("*")):
            symbol = one.rstrip("0123456789")
            powers[symbol] += int(one[len(symbol) :] or 1) * (-1 if place else 1)
    return _dimension(powers)


def product(left: Dimension, right: Dimension, power: int = 1) -> Dimension:
    """left * right ** power; power -1 divides."""
    powers = Counter(dict(left))
    for symbol, one in right:
        powers[symbol] += one * power
    return _dimension(powers)


def _dimension(powers: Counter[str]) -> Dimension:
    return tuple(sorted((symbol, power) for symbol, power in powers.items() if power))


def unit_of(found: Dimension) -> str:
    """As it is written: by our own name where a quantity has it, else such as C/min; 1 of a pure number."""
    if found in _names():
        return _names()[found]
    above = [f"{symbol}{'' if power == 1 else power}" for symbol, power in found if power > 0]
    below = [f"/{symbol}{'' if power == -1 else -power}" for symbol, power in found if power < 0]
    return ("*".join(above) or "1") + "".join(below)


@cache
def _names() -> dict[Dimension, str]:
    names: dict[Dimension, str] = {(): "1"}
    for one in QUANTITIES.values():
        names.setdefault(dimension(one.unit), one.unit)
    return names


SPANS = {"min": "分钟", "h": "小时", "d": "天"}
SIGNS = {"C": " ℃", "deg": "°", "%": "%", "m/s2": " m/s²", "x": "", "mm/m/d": " mm/m/天", "mm/d": " mm/天"}
SIGNS |= {"1/h": " 次/小时", "cases": " 件", "rules": " 条", "ways": " 条"}


def shown(quantity: str, value: float) -> str:
    """A value as people read it: "81.2 ℃", "0.35°"; a state has no unit and no number."""
    known = QUANTITIES.get(quantity)
    if known is None or known.unit == "1":
        return f"{value:g}"
    return f"{value:.6g}{sign(known.unit)}"


def sign(unit: str) -> str:
    """A unit behind a number, as people write it: " ℃", "%", " ℃/分钟"."""
    if unit in SIGNS:
        return SIGNS[unit]
    whole, per, span = unit.rpartition("/")
    if per and span in SPANS:
        return f"{sign(whole)}/{SPANS[span]}"
    return f" {unit}" if unit not in ("", "1") else ""


def decimals(quantity: str) -> int:
    """Decimals worth keeping of a worked-out value: a hundredth of the resolution, alike on every machine."""
    return 2 - floor(log10(QUANTITIES[quantity].resolution))
