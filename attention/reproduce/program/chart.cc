#include "attention/reproduce/program/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "attention/reproduce/program/axis.h"
#include "datasets/text/utf8.h"
#include "tensor/error.h"

namespace tapir {
namespace {

constexpr double width = 520, height = 340, margin = 14, top = 62, bottom = height - 56, letter = 8.8, row = 18;
constexpr size_t longest_label = 18;

constexpr const char* style = R"(<style>
.page { fill: #ffffff; }
text { fill: #5b6472; }
.strong { font-weight: 600; fill: #1b2027; }
.rule { stroke: #d9dde3; fill: none; }
.curve { stroke: currentColor; stroke-width: 2.2; stroke-linejoin: round; fill: none; }
.lead { stroke: currentColor; stroke-dasharray: 1 3; fill: none; }
.band { fill: currentColor; fill-opacity: 0.16; }
.label, circle { fill: currentColor; }
.c0 { color: #0072b2; } .c1 { color: #d55e00; } .c2 { color: #00875f; } .c3 { color: #a8457f; }
.c4 { color: #7a6200; } .c5 { color: #5b4bc4; } .c6 { color: #00798c; } .c7 { color: #666666; }
@media (prefers-color-scheme: dark) {
.page { fill: #14171c; }
text { fill: #a0a9b6; }
.strong { fill: #e6e9ee; }
.rule { stroke: #363d47; }
.c0 { color: #56b4e9; } .c1 { color: #ff8f50; } .c2 { color: #35cfa0; } .c3 { color: #ea9cc8; }
.c4 { color: #e8d44a; } .c5 { color: #aaa2ff; } .c6 { color: #55d3e3; } .c7 { color: #bbbbbb; }
}
</style>
)";

// As text of XML, which has no control characters, nor U+FFFE and U+FFFF.
std::string escaped(const std::string& words) {
  const std::string valid = replace_invalid_utf8(words);
  std::string safe;
  for (size_t at = 0; at < valid.size();) {
    const std::string one = valid.substr(at, utf8_length(valid, at));
    at += one.size();
    if (one == "&") safe += "&amp;";
    else if (one == "<") safe += "&lt;";
    else if (one == ">") safe += "&gt;";
    else safe += static_cast<unsigned char>(one[0]) < ' ' || one == "\uFFFE" || one == "\uFFFF" ? "\uFFFD" : one;
  }
  return safe;
}

size_t letters(const std::string& words) {
  return std::count_if(words.begin(), words.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

// As many of the words as fit.
std::string fitting(const std::string& words, size_t most) {
  const std::string valid = replace_invalid_utf8(words);
  if (letters(valid) <= most) return escaped(valid);
  size_t end = 0;
  for (size_t k = 0; k + 1 < most; ++k) end += utf8_length(valid, end);
  return escaped(valid.substr(0, end) + "…");
}

// Through the points, or back through them. Steps keep the height of the point on their left.
std::string path(const Series& series, const std::vector<double>& heights, const Axis& across, const Axis& up,
                 bool back = false) {
  std::string d;
  for (size_t k = 0; k < heights.size(); ++k) {
    const size_t point = back ? heights.size() - 1 - k : k;
    const double x = across.at(series.x[point]), y = up.at(heights[point]);
    if (k == 0 || !series.steps) d += fmt::format("{}{:.1f} {:.1f}", k == 0 && !back ? 'M' : 'L', x, y);
    else d += back ? fmt::format("V{:.1f}H{:.1f}", y, x) : fmt::format("H{:.1f}V{:.1f}", x, y);
  }
  return d;
}

// Of the labels: the heights of the curves' ends, moved apart where they would overlap.
std::vector<double> label_heights(const std::vector<Series>& series, const Axis& up) {
  std::vector<double> heights;
  for (const Series& one : series) heights.push_back(up.at(one.y.back()));
  std::vector<size_t> order(heights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return heights[a] < heights[b]; });
  for (size_t k = 1; k < order.size(); ++k) heights[order[k]] = std::max(heights[order[k]], heights[order[k - 1]] + row);
  double lowest = bottom;
  for (size_t k = order.size(); k-- > 0; lowest = heights[order[k]] - row)
    heights[order[k]] = std::min(heights[order[k]], lowest);
  return heights;
}

void check(const Chart& chart) {
  require(!chart.series.empty() && chart.series.size() <= most_series, "chart",
          [&] { return text("must have 1 to ", most_series, " series, found ", chart.series.size()); });
  for (const Series& one : chart.series) {
    const std::string where = text("chart: series ", shown(one.label));
    const size_t points = one.x.size(), band = one.low.size();
    require(points > 0, where, [] { return "has no points"; }, "leave it out");
    require(one.y.size() == points && one.high.size() == band && (band == 0 || band == points), where, [&] {
      return text("has ", points, " x, ", one.y.size(), " y, ", band, " low and ", one.high.size(), " high");
    }, "there must be as many of each, or no band");
    const auto check_numbers = [&](const std::vector<double>& values, const char* name, bool log) {
      for (size_t k = 0; k < values.size(); ++k)
        require(std::abs(values[k]) <= 1e100 && (!log || values[k] >= 1e-100), where, [&] {
          return text(name, " of point ", k + 1, " is ", values[k], log ? ", on a logarithmic axis" : "", "; must be in ",
                      log ? "1e-100" : "-1e100", " … 1e100");
        });
    };
    check_numbers(one.x, "x", chart.log_x);
    for (const auto& [values, name] : {std::pair{&one.y, "y"}, {&one.low, "low"}, {&one.high, "high"}})
      check_numbers(*values, name, chart.log_y);
    for (size_t k = 1; k < points; ++k)
      require(one.x[k - 1] <= one.x[k], where,
              [&] { return text("x of point ", k + 1, " is ", one.x[k], ", smaller than ", one.x[k - 1], " before it"); });
    for (size_t k = 0; k < band; ++k)
      require(one.low[k] <= one.high[k], where,
              [&] { return text("low of point ", k + 1, " is ", one.low[k], ", above its high, ", one.high[k]); });
  }
}

}  // namespace

std::string svg(const Chart& chart) {
  check(chart);
  std::vector<double> all_x, all_y;
  size_t longest = 0;
  std::string description = escaped(text(chart.y_title, " against ", chart.x_title, "."));
  for (const Series& one : chart.series) {
    all_x.insert(all_x.end(), one.x.begin(), one.x.end());
    for (const std::vector<double>* values : {&one.y, &one.low, &one.high})
      all_y.insert(all_y.end(), values->begin(), values->end());
    longest = std::max(longest, std::min(longest_label, letters(one.label)));
    description += escaped(fmt::format(" {}: from {:g} at {:g} to {:g} at {:g}.", one.label, one.y.front(), one.x.front(),
                                       one.y.back(), one.x.back()));
  }
  const auto [least_y, most_y] = std::minmax_element(all_y.begin(), all_y.end());
  const auto [least_x, most_x] = std::minmax_element(all_x.begin(), all_x.end());
  Axis up(chart.log_y, *least_y, *most_y, std::numeric_limits<double>::infinity(), letter);
  const double left = margin + up.name_width() + 6;
  const double right = width - margin - 16 - letter * static_cast<double>(longest);
  Axis across(chart.log_x, *least_x, *most_x, right - left, letter);
  up.put(bottom, top);
  across.put(left, right);

  std::string out = fmt::format(R"(<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{0}" height="{1}"
 viewBox="0 0 {0} {1}" font-size="15" font-family="system-ui, DejaVu Sans, sans-serif">
<title>{2}</title>
<desc>{3}</desc>
{4}<rect class="page" width="{0}" height="{1}"/>
)", width, height, escaped(chart.title), description, style);
  const auto words = [&](double x, double y, const char* attribute, const std::string& what) {
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, attribute, what);
  };
  constexpr const char *start = R"(text-anchor="start")", *middle = R"(text-anchor="middle")", *end = R"(text-anchor="end")";
  words(margin, 24, R"(class="strong")", fitting(chart.title, 56));
  words(margin, 48, start, fitting(chart.y_title, 56));
  words((left + right) / 2, height - margin, middle, fitting(chart.x_title, 32));
  for (size_t k = 0; k < up.ticks().size(); ++k) {
    const double y = up.at(up.ticks()[k]);
    out += fmt::format("<path class=\"rule\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", left, y, right);
    words(left - 6, y + 5, end, up.names()[k]);
  }
  for (size_t k = 0; k < across.ticks().size(); ++k) {
    const double x = across.at(across.ticks()[k]);
    out += fmt::format("<path class=\"rule\" d=\"M{:.1f} {:.1f}v5\"/>\n", x, bottom);
    words(x, bottom + 20, middle, across.names()[k]);
  }
  const std::vector<double> heights = label_heights(chart.series, up);
  for (size_t k = 0; k < chart.series.size(); ++k) {
    const Series& one = chart.series[k];
    const double x = across.at(one.x.back()), y = up.at(one.y.back());
    out += fmt::format("<g class=\"c{}\"><title>{}</title>\n", k, escaped(one.label));
    if (!one.low.empty())
      out += fmt::format("<path class=\"band\" d=\"{}{}Z\"/>\n", path(one, one.high, across, up),
                         path(one, one.low, across, up, true));
    out += fmt::format("<path class=\"curve\" d=\"{}\"/>\n", path(one, one.y, across, up));
    out += fmt::format(R"(<path class="lead" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>)", x, y, right + 12, heights[k]);
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"/>\n", x, y);
    words(right + 16, heights[k] + 5, R"(class="label")", fitting(one.label, longest_label));
    out += "</g>\n";
  }
  return out + "</svg>\n";
}

}  // namespace tapir
